-- The health of a Session. As with a Job, what counts is its end: an agent at work is Progressing, so that a sync waits for what it makes.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

local ready = conditions["Ready"]
if ready == nil or (status.observedGeneration or -1) < obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for the manager to look at it"}
end
if is("Finished") and is("Succeeded") then
  return {status = "Healthy", message = ready.message}
end
if is("Stalled") then
  return {status = "Degraded", message = ready.message}
end
if is("Suspended") then
  return {status = "Suspended", message = ready.message}
end
return {status = "Progressing", message = ready.message}
