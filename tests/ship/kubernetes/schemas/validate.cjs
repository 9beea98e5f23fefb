// Validates custom resources: JSON objects on standard input, one a line; an answer a line: null, or what is wrong.
// node validate.cjs FOLDER, where FOLDER is the one that tools/cluster_tools.sh installed into.
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");

const from = createRequire(`${process.argv[2]}/package.json`);
const validation = from("@kubernetes-models/validate");
const register = validation.register;

// A custom resource's schema lets a field through that it does not know, and the API server drops it without a word.
function strict(schema) {
  if (Array.isArray(schema)) return schema.map(strict);
  if (schema === null || typeof schema !== "object") return schema;
  const made = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]));
  const open = made.additionalProperties !== undefined || made["x-kubernetes-preserve-unknown-fields"];
  return made.type === "object" && made.properties && !open ? { ...made, additionalProperties: false } : made;
}
validation.register = (id, schema) => register(id, strict(schema));

const models = {
  ServiceMonitor: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
  PrometheusRule: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  ScaledObject: "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
  HTTPRoute: "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
};
for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const given = JSON.parse(line);
  let answer = null;
  try {
    new (from(models[given.kind])[given.kind])(given).validate();
  } catch (error) {
    answer = String(error.message);
  }
  console.log(JSON.stringify(answer));
}
