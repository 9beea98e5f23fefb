// Answers rows as predict.py does: the same checks, the same casts, the same answers. SPDX-License-Identifier: Apache-2.0
import * as ort from "./ort/ort.wasm.min.mjs";

export class InvalidInputs extends Error {}

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, int16: Int16Array,
  int8: Int8Array, uint32: Uint32Array, uint16: Uint16Array, uint8: Uint8Array, bool: Uint8Array, object: Array,
};
const LIMITS = {
  int64: [-(2 ** 63), 2 ** 63 - 1], int32: [-(2 ** 31), 2 ** 31 - 1], int16: [-(2 ** 15), 2 ** 15 - 1], int8: [-128, 127],
  uint64: [0, 2 ** 64 - 1], uint32: [0, 2 ** 32 - 1], uint16: [0, 65535], uint8: [0, 255],
};
const LARGEST = {float64: Number.MAX_VALUE, float32: 3.4028234663852886e38, float16: 65504};

function refuse(field, problem, fix) { throw new InvalidInputs(`${field} ${problem}: ${fix}`); }
function kindOf(value) {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "a list";
  return {number: "a number", string: "a text", boolean: "true or false"}[typeof value] || "an object";
}
const product = sizes => sizes.reduce((a, b) => a * b, 1);

async function fetched(base, name) {
  const response = await fetch(new URL(name, base));
  if (!response.ok) throw new Error(`${name} cannot be loaded: the server answers ${response.status}`);
  return response;
}

// The model of a folder. It runs on one thread where the page is not isolated, which threads of WebAssembly need.
export async function load(base) {
  const signature = await (await fetched(base, "signature.json")).json();
  const kept = await (await fetched(base, "sample.json")).json();
  const bytes = new Uint8Array(await (await fetched(base, "model.ort")).arrayBuffer());
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const session = await ort.InferenceSession.create(bytes, {executionProviders: ["wasm"]});
  return new Model(signature, kept, session);
}

export class Model {
  constructor(signature, kept, session) {
    this.signature = signature;
    this.inputs = kept.inputs;
    this.expected = kept.expected;
    this.session = session;
  }

  // Rows (lists), records, or an object of columns → {predictions: [...], ...}
  async predict(inputs) {
    const columns = read(this.signature, inputs);
    const rows = columns[0].rows;
    const answers = this.signature.model_outputs;
    const feeds = this.signature.inputs.map(input => [input, this.signature.inputs.length === 1 ? beside(columns) : columns.find(column => column.name === input.name)]);
    const size = this.signature.batch || rows;
    const found = answers.map(() => []);
    for (let start = 0; start < rows; start += size) {
      const here = Math.min(size, rows - start);
      const tensors = Object.fromEntries(feeds.map(([input, column]) => [input.name, tensorOf(input, column, start, here, size)]));
      const outputs = await this.session.run(tensors, answers.map(answer => answer.graph));
      answers.forEach((answer, i) => found[i].push(...restored(answer, outputs[answer.graph], size, here)));
    }
    return Object.fromEntries(answers.map((answer, i) => [answer.name, found[i]]));
  }

  // The sample's rows, answered here: how many agree with the trained model, and the first that do not.
  async check() {
    const found = await this.predict(this.inputs);
    const rows = countOf(this.inputs), differences = [], different = new Set();
    for (const [name, values] of Object.entries(this.expected)) {
      const tolerance = this.signature.tolerance * largest(values);
      for (let i = 0; i < rows; i++) {
        if (alike(values[i], found[name][i], tolerance)) continue;
        different.add(i);
        differences.push(`${name}[${i}] is ${JSON.stringify(found[name][i])}, expected ${JSON.stringify(values[i])}`);
      }
    }
    return {rows, agree: rows - different.size, differences: differences.slice(0, 20)};
  }

  // One row of the sample, as a request has it.
  row(i) {
    return Array.isArray(this.inputs) ? this.inputs[i] : Object.fromEntries(Object.entries(this.inputs).map(([name, values]) => [name, values[i]]));
  }
}

export function countOf(inputs) { return Array.isArray(inputs) ? inputs.length : Object.values(inputs)[0].length; }

// --- reading rows

function read(signature, inputs) {
  const columns = signature.columns, container = signature.container;
  const table = container === "dataframe" || (container === "dict" && Array.isArray(inputs));
  let lists;
  if (Array.isArray(inputs)) lists = table ? ofRows(columns, inputs) : [inputs];
  else if (inputs && typeof inputs === "object" && ["dataframe", "dict"].includes(container)) {
    checkNames(columns, inputs, "inputs");
    lists = columns.map(column => inputs[column.name]);
    columns.forEach((column, i) => { if (!Array.isArray(lists[i])) refuse(`inputs.${column.name}`, `is ${kindOf(lists[i])}, not a list of values`, "send a list"); });
    if (new Set(lists.map(list => list.length)).size > 1) refuse("inputs", "has columns of different lengths", "send as many values in each column");
  } else refuse("inputs", `is ${kindOf(inputs)}, not a list of rows`, "send [row, row, …]");
  if (!lists[0].length) refuse("inputs", "is empty", "send at least one row");
  return columns.map((column, i) => readColumn(column, lists[i], table));
}

function ofRows(columns, rows) {
  rows.forEach((row, i) => {
    if (row === null || typeof row !== "object") refuse(`inputs[${i}]`, `is ${kindOf(row)}, not a record or a row`, "send an object, or a list");
    if (!Array.isArray(row)) checkNames(columns, row, `inputs[${i}]`);
    else if (row.length !== columns.length) refuse(`inputs[${i}]`, `has ${row.length} values`, `send ${columns.length} values`);
  });
  if (new Set(rows.map(row => Array.isArray(row))).size > 1) refuse("inputs", "mixes records and rows", "send all rows as objects, or all as lists");
  return columns.map((column, i) => rows.map(row => Array.isArray(row) ? row[i] : row[column.name]));
}

function checkNames(columns, given, where) {
  for (const column of columns) if (!Object.hasOwn(given, column.name)) refuse(`${where}.${column.name}`, "is missing", "send all columns");
  for (const name of Object.keys(given)) if (!columns.some(column => column.name === name)) refuse(`${where}.${name.slice(0, 80)}`, "is not a column of this model", "leave it out");
}

// The single values of a column, flat, and the shape of a row.
function readColumn(column, values, table) {
  let leaves = values;
  const shape = [values.length];
  const at = i => {
    const index = [];
    for (const size of [...shape].reverse()) { index.unshift(i % size); i = Math.floor(i / size); }
    return table ? `inputs[${index[0]}].${column.name}${index.slice(1).map(j => `[${j}]`).join("")}` : `inputs${index.map(j => `[${j}]`).join("")}`;
  };
  for (const size of column.shape) {
    const wanted = size === -1 && Array.isArray(leaves[0]) ? leaves[0].length : size;
    leaves.forEach((item, i) => {
      if (!Array.isArray(item)) refuse(at(i), `is ${kindOf(item)}, not a list of ${wanted} values`, "wrap the row in brackets: [[…]]");
      if (item.length !== wanted) refuse(at(i), `has ${item.length} values`, `send ${wanted} values`);
    });
    shape.push(wanted);
    leaves = leaves.flat();
  }
  return {name: column.name, rows: values.length, shape: shape.slice(1), leaves: leaves.map((leaf, i) => readLeaf(column, leaf, () => at(i)))};
}

function readLeaf(column, leaf, at) {
  const dtype = column.dtype, kind = dtype.toLowerCase(), own = dtype !== kind;
  if (leaf === null || leaf === undefined || (typeof leaf === "number" && Number.isNaN(leaf))) {
    if (!column.nullable || (!own && kind in LIMITS)) refuse(at(), "is null", "send a value; the sample that this model was deployed with has none missing there");
    return null;
  }
  if (dtype === "object") return leaf;
  if (dtype === "str") {
    if (typeof leaf !== "string") refuse(at(), `is ${kindOf(leaf)}, not a text`, "send a text");
    for (const allowed of [column.known, column.categories]) if (allowed && !allowed.includes(leaf)) refuse(at(), "is a text that the model does not know", `send one of: ${allowed.slice(0, 20).join(", ")}`);
    return leaf;
  }
  if (dtype === "bool" || dtype === "boolean") {
    if (typeof leaf !== "boolean") refuse(at(), `is ${kindOf(leaf)}, not true or false`, "send true or false");
    return leaf;
  }
  if (typeof leaf !== "number" && (own || typeof leaf !== "boolean")) refuse(at(), `is ${kindOf(leaf)}, not a number`, `send a ${kind}`);
  const number = Number(leaf);
  if (kind in LIMITS) {
    const [low, high] = LIMITS[kind];
    if (!Number.isInteger(number) || number < low || number > high) refuse(at(), `is ${number}, not a whole number of ${kind}`, `send ${low} to ${high}`);
    return number;
  }
  if (!(Math.abs(number) <= LARGEST[kind])) refuse(at(), `is too large for ${kind}`, "send a finite number");
  return kind === "float32" ? Math.fround(number) : number;
}

// --- to the graph, and back

function beside(columns) {  // all columns side by side, a row after the other
  if (columns.length === 1) return columns[0];
  const leaves = [];
  for (let i = 0; i < columns[0].rows; i++) for (const column of columns) leaves.push(column.leaves[i]);
  return {rows: columns[0].rows, shape: [columns.length], leaves};
}

function tensorOf(input, column, start, here, size) {
  const width = product(column.shape);
  const leaves = column.leaves.slice(start * width, (start + here) * width);
  for (let i = here; i < size; i++) leaves.push(...leaves.slice((here - 1) * width, here * width));
  let shape = [size, ...column.shape];
  if (shape.length === 1 && input.rank === 2) shape = [size, 1];
  if (shape.length === 2 && shape[1] === 1 && input.rank === 1) shape = [size];
  if (input.dtype === "object") return new ort.Tensor("string", leaves.map(leaf => leaf === null ? "" : String(leaf)), shape);
  if (input.dtype === "int64") return new ort.Tensor("int64", BigInt64Array.from(leaves, leaf => BigInt(Math.trunc(Number(leaf)))), shape);
  const numbers = leaves.map(leaf => leaf === null ? NaN : Number(leaf));
  if (input.dtype === "float32") {
    const far = numbers.findIndex(number => Number.isFinite(number) && !Number.isFinite(Math.fround(number)));
    if (far >= 0) refuse("inputs", `has ${numbers[far]}, which is too large`, "send less: the model computes in float32");
  }
  return new ort.Tensor(input.dtype, ARRAYS[input.dtype].from(numbers), shape);
}

// The rows of an answer, in the shape and the kind that the trained model gives.
function restored(answer, tensor, size, here) {
  const width = tensor.data.length / size;
  const shape = answer.container === "ndarray" && product(answer.shape) === width ? answer.shape : tensor.dims.slice(1);
  const values = Array.from(tensor.data, value => plain(value, answer.container === "ndarray" ? answer.dtype : ""));
  return Array.from({length: here}, (_, i) => nested(values.slice(i * width, (i + 1) * width), shape));
}

function plain(value, dtype) {
  if (typeof value === "bigint") value = Number(value);
  if (dtype === "bool") return Boolean(value);
  if (dtype.startsWith("<U")) return String(value);
  if (dtype === "object" || typeof value === "string") return value;
  return Number.isFinite(value) ? value : null;
}

function nested(values, shape) {
  if (!shape.length) return values[0];
  if (shape.length === 1) return values;
  const size = product(shape.slice(1));
  return Array.from({length: shape[0]}, (_, i) => nested(values.slice(i * size, (i + 1) * size), shape.slice(1)));
}

function largest(value) {
  if (Array.isArray(value)) return value.reduce((most, item) => Math.max(most, largest(item)), value.length ? 0 : 1);
  return typeof value === "number" ? Math.abs(value) || 1 : 1;
}

function alike(wanted, got, tolerance) {
  if (Array.isArray(wanted) && Array.isArray(got)) return wanted.length === got.length && wanted.every((item, i) => alike(item, got[i], tolerance));
  if (typeof wanted === "number" && typeof got === "number") return Math.abs(wanted - got) <= tolerance;
  return wanted === got;
}
