// Run compile_folder.py in Pyodide: CPython in WebAssembly, whole in node_modules, so nothing is fetched.
//
//     node compile_folder.mjs <folder> <where the folder will be>

import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const [folder, shownAs] = process.argv.slice(2);
const program = readFileSync(new URL("compile_folder.py", import.meta.url), "utf8");

// A fixed seed: the order of sets and of interned names must not differ from one build to the next.
const pyodide = await loadPyodide({ env: { HOME: "/", PYTHONHASHSEED: "0" } });
pyodide.FS.mkdir("/layer");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: folder }, "/layer");
pyodide.runPython("import sys; sys.argv = ['compile_folder.py', '/layer', shown_as]", {
  globals: pyodide.toPy({ shown_as: shownAs }),
});
pyodide.runPython(program, { globals: pyodide.toPy({ __name__: "__main__" }), filename: "compile_folder.py" });
