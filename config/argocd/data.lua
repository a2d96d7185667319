-- The health of a SessionClass, an APIProvider, a Credential or a ClusterCredential: whether Sessions can use it.
local status = obj.status or {}
local ready = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    ready = condition
  end
end

if ready == nil or (status.observedGeneration or -1) < obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for Sandkeep to look at it"}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.status == "False" then
  return {status = "Degraded", message = ready.message}
end
return {status = "Progressing", message = ready.message}
