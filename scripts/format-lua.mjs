// Formats Lua files, or with --check says which are not formatted. StyLua's npm package is a
// library only.
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Config, IndentType, OutputVerification, QuoteStyle, formatCode } from "@johnnymorganz/stylua";

const style = () => {
  const config = Config.new();
  config.column_width = 110;
  config.indent_type = IndentType.Spaces;
  config.indent_width = 2;
  config.quote_style = QuoteStyle.AutoPreferDouble;
  return config;
};

const luaFiles = (path) =>
  statSync(path).isDirectory()
    ? readdirSync(path).flatMap((name) => luaFiles(join(path, name)))
    : path.endsWith(".lua")
      ? [path]
      : [];

const check = process.argv.includes("--check");
const paths = process.argv.slice(2).filter((argument) => argument !== "--check");
let unformatted = 0;
for (const file of paths.flatMap(luaFiles)) {
  const source = readFileSync(file, "utf8");
  const formatted = formatCode(source, style(), undefined, OutputVerification.None);
  if (formatted === source) continue;
  unformatted += 1;
  if (check) console.error(`${file} is not formatted; run: make format`);
  else writeFileSync(file, formatted);
}
process.exit(check && unformatted > 0 ? 1 : 0);
