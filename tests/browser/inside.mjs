// Started by inside.py: Pyodide in Node, with the checkout and pytest's packages mounted.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [distribution, checkout, packages, load, ...args] = process.argv.slice(2);
const indexURL = resolve(distribution) + "/";
const { loadPyodide } = await import(pathToFileURL(indexURL + "pyodide.mjs").href);
const python = await loadPyodide({
  indexURL,
  env: { HOME: "/home", PYTHONDONTWRITEBYTECODE: "1", HYPOTHESIS_STORAGE_DIRECTORY: "/tmp/hypothesis" },
});
await python.loadPackage(load.split(","), { messageCallback: () => {} });
// Installed packages are recognized by this folder.
const installed = python.runPython("import sysconfig; sysconfig.get_path('purelib') + '/more'");
for (const [place, folder] of [["/checkout", checkout], [installed, packages]]) {
  python.FS.mkdirTree(place);
  python.mountNodeFS(place, resolve(folder));
}
python.globals.set("arguments", python.toPy(args));
python.globals.set("installed", installed);
try {
  process.exitCode = python.runPython(`
import os, sys

sys.path[:0] = ["/checkout", installed]
os.chdir("/checkout")
import pytest

int(pytest.main(["-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=sys", *arguments]))
`);
} catch (error) {
  console.error(error.message); // Node's own report shows a line of a minified file
  process.exitCode = 1;
}
