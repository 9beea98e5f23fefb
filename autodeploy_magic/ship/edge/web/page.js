// A form made of signature.json. Every value becomes text of an element or a field's value: none becomes markup.
import { countOf, InvalidInputs, load } from "./model.js";

const MOST_FIELDS = 64;
const at = id => document.getElementById(id);
let model = null, shown = 0, reading = () => null;

function made(tag, text = "") { const found = document.createElement(tag); found.textContent = text; return found; }
function cell(row, text) { row.insertCell().textContent = text; }

function label(name, field) {
  const found = made("label", name);
  field.setAttribute("aria-label", name);
  found.append(field);
  at("fields").append(found);
}

// A field for one value; returns what reads it, as JSON has it.
function field(name, column, value) {
  const choices = column.categories || column.known || (["bool", "boolean"].includes(column.dtype) ? ["true", "false"] : null);
  const text = value === null || value === undefined ? "" : String(value);
  const found = made(choices ? "select" : "input");
  if (choices) for (const choice of [...(column.nullable || !choices.includes(text) ? [""] : []), ...choices]) found.add(new Option(choice, choice));
  else found.autocomplete = "off";
  found.value = text;
  label(name, found);
  return () => {
    if (found.value === "") return column.nullable || column.dtype !== "str" || choices ? null : "";
    if (["bool", "boolean"].includes(column.dtype)) return found.value === "true";
    if (["str", "object"].includes(column.dtype)) return found.value;
    const number = Number(found.value.trim());
    return found.value.trim() !== "" && !Number.isNaN(number) ? number : found.value;
  };
}

// The form for one row: a field for each column, or for each number of a short array; else the row as JSON.
function offer(row) {
  const {columns, container} = model.signature;
  at("fields").replaceChildren();
  const first = columns[0], table = container === "dataframe" || container === "dict";
  const flat = table ? columns.every(column => !column.shape.length) && columns.length <= MOST_FIELDS : columns.length === 1 && first.shape.length === 1 && first.shape[0] > 0 && first.shape[0] <= MOST_FIELDS;
  at("fields").classList.toggle("whole", !flat);
  if (!flat) {
    const area = made("textarea");
    area.value = JSON.stringify(row);
    area.spellcheck = false;
    label("A row, as JSON", area);
    reading = () => JSON.parse(area.value);
  } else if (table) {
    const reads = columns.map((column, i) => [column.name, field(column.name, column, Array.isArray(row) ? row[i] : row[column.name])]);
    reading = () => Object.fromEntries(reads.map(([name, read]) => [name, read()]));
  } else {
    const reads = row.map((value, i) => field(`value ${i + 1}`, first, value));
    reading = () => reads.map(read => read());
  }
}

function tell(error) {
  at("before").hidden = at("table").hidden = at("checked").hidden = true;
  at("problem").hidden = false;
  at("problem").textContent = error instanceof SyntaxError ? `The row is not JSON: ${error.message}` : error instanceof InvalidInputs ? error.message : `The model failed: ${error.message}`;
  at("took").textContent = "";
}

function said(value) { return typeof value === "string" ? value : JSON.stringify(value); }

async function busy(work) {
  for (const button of document.querySelectorAll("button")) button.disabled = true;
  try { await work(); } catch (error) { tell(error); }
  for (const button of document.querySelectorAll("button")) button.disabled = false;
}

async function predict() {
  const row = reading();
  const rows = model.signature.container === "dict" ? Object.fromEntries(Object.entries(row).map(([name, value]) => [name, [value]])) : [row];
  const started = performance.now();
  const answers = await model.predict(rows);
  at("took").textContent = `${(performance.now() - started).toFixed(1)} ms, in this page`;
  at("before").hidden = at("problem").hidden = at("checked").hidden = true;
  const body = at("table").tBodies[0];
  body.replaceChildren();
  for (const [name, values] of Object.entries(answers)) {
    const line = body.insertRow();
    cell(line, name); cell(line, said(values[0]));
  }
  at("table").hidden = false;
}

async function check() {
  const started = performance.now();
  const found = await model.check();
  at("took").textContent = `${(performance.now() - started).toFixed(1)} ms, in this page`;
  at("before").hidden = at("problem").hidden = at("table").hidden = true;
  at("checked").hidden = false;
  at("checked").classList.toggle("bad", found.agree !== found.rows);
  at("checked").textContent = [`${found.agree} of ${found.rows} rows of the sample agree with the trained model.`, ...found.differences].join("\n");
}

function values(column) {
  const texts = column.categories || column.known;
  if (texts) return texts.join(", ");
  return column.minimum === null || column.minimum === undefined ? "" : `${column.minimum} to ${column.maximum}`;
}

function describe(signature) {
  document.title = at("name").textContent = signature.name;
  at("version").textContent = `v${signature.version}`;
  at("model").textContent = signature.model;
  for (const column of signature.columns) {
    const row = at("columns").insertRow();
    cell(row, column.name); cell(row, column.dtype); cell(row, column.shape.length ? column.shape.join(" × ") : "one value");
    cell(row, column.nullable ? "yes" : "no"); cell(row, values(column));
  }
}

async function begin() {
  try {
    model = await load(new URL(".", document.baseURI));
  } catch (error) {
    at("state").className = "bad";
    at("state").textContent = `The model cannot run here: ${error.message}`;
    return;
  }
  describe(model.signature);
  offer(model.row(0));
  at("form").addEventListener("submit", event => { event.preventDefault(); busy(predict); });
  at("check").addEventListener("click", () => busy(check));
  at("next").addEventListener("click", () => { shown = (shown + 1) % countOf(model.inputs); offer(model.row(shown)); });
  at("loading").hidden = true;
  for (const element of [...document.querySelectorAll(".shown"), at("version"), at("model")]) element.hidden = false;
}

begin();
