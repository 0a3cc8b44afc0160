-- Every change of a group's flags, as one atomic step. Refusals are answers, not errors: only a fault may be retried.
-- The contract, with every refusal and its order, is docs/flags.md.
--
-- KEYS     meta flags snap audit idem safety acks lease         (all of one group, one hash slot)
-- ARGV     op, request digest, idempotency ttl in ms, channel, arguments as JSON, attempt
-- returns  { status, epoch, rev, detail, replayed 0/1, snapshot text or '' }

local META, FLAGS, SNAP, AUDIT, IDEM, SAFETY, ACKS, LEASE = unpack(KEYS)
local KINDS = { 'hash', 'hash', 'string', 'stream', 'string', 'hash', 'hash', 'string' }
local OFF = '{"exposure":"off","bp":0,"stage":"off"}'
local op, digest, ttl, channel, arguments, attempt = unpack(ARGV)
local a = cjson.decode(arguments)
local detail = ''

-- A key of a wrong type is a damaged store. An emergency removes it, and tells; everything else is refused.
for place, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= KINDS[place] then
    if op ~= 'emergency' then return { 'DAMAGED', 0, 0, key .. ' is of type ' .. kind, 0, '' } end
    redis.call('DEL', key)
    detail = detail .. 'removed ' .. key .. ' of type ' .. kind .. '; '
  end
end

-- Its first write needs no memory: after that Redis lets the rest of a script write even when memory is full.
if op == 'emergency' then redis.call('DEL', LEASE) end

local function decoded(text)
  local fine, value = pcall(cjson.decode, text or '')
  return fine and type(value) == 'table' and value or nil
end

-- A whole number that Lua's doubles hold exactly; nil for anything else that may stand in a damaged store.
local function whole(text)
  if type(text) == 'number' then text = string.format('%.0f', text) end
  if type(text) == 'string' and #text <= 15 and string.find(text, '^%d+$') then return tonumber(text) end
  return nil
end

-- A flag's document, if it is one.
local function document_in(text)
  local found = decoded(text)
  if not found or type(found.stage) ~= 'string' or type(found.bp) ~= 'number' then return nil end
  if found.bp ~= math.floor(found.bp) or found.bp < 0 or found.bp > 10000 then return nil end
  if found.exposure == 'percent' then return found.bp > 0 and found or nil end
  return (found.exposure == 'off' or found.exposure == 'audience') and found.bp == 0 and found or nil
end

local epoch = whole(redis.call('HGET', META, 'epoch'))
local rev = whole(redis.call('HGET', META, 'rev')) or 0
local latch = redis.call('HGET', META, 'latch') == '1'
local instant = redis.call('TIME')
local ms = string.format('%.0f', tonumber(instant[1]) * 1000 + math.floor(tonumber(instant[2]) / 1000))

local function answer(status, told)
  return { status, epoch or 0, rev, told or '', 0, redis.call('GET', SNAP) or '' }
end

-- The dead-man's lease is renewed all the time: it needs no memory of requests and leaves no audit entry.
if op == 'renew' then
  local lives = whole(redis.call('HGET', META, 'deadman'))
  if not epoch then return answer('UNINITIALISED') end
  if a.fence < epoch then return answer('STALE_EPOCH', tostring(epoch)) end
  if a.fence > epoch then return answer('LOST_WRITES', tostring(epoch)) end
  if latch then return answer('LATCHED', redis.call('HGET', SAFETY, 'latched_by') or '') end
  if not lives then return answer('UNCHANGED') end
  redis.call('SET', LEASE, epoch, 'PX', lives)
  return answer('OK')
end

local prior = decoded(redis.call('GET', IDEM))
if prior and type(prior.digest) == 'string' and whole(prior.epoch) and whole(prior.rev) then
  if prior.digest ~= digest then return answer('IDEM_MISMATCH') end
  return { prior.status, prior.epoch, prior.rev, prior.detail, 1, redis.call('GET', SNAP) or '' }
end

for _, flag in ipairs(op == 'emergency' and {} or redis.call('HKEYS', FLAGS)) do
  if not document_in(redis.call('HGET', FLAGS, flag)) then
    return answer('DAMAGED', FLAGS .. ' holds no document for ' .. flag)
  end
end

local function order(document)
  if document.exposure == 'off' then return -1 end
  return document.bp
end

local function is_audience(text)
  local found = decoded(text)
  if not found or not string.find(text, '^{"domains":%[.*%],"users":%[.*%]}$') then return false end
  for _, list in pairs(found) do
    if type(list) ~= 'table' then return false end
    for _, member in pairs(list) do if type(member) ~= 'string' then return false end end
  end
  return true
end

local function snapshot_text(head)
  local names, parts = redis.call('HKEYS', FLAGS), {}
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = cjson.encode(name) .. ':' .. redis.call('HGET', FLAGS, name)
  end
  local cohort, audience = redis.call('HGET', META, 'cohort'), redis.call('HGET', META, 'audience')
  local lives = whole(redis.call('HGET', META, 'deadman'))
  return string.format(
    '{"v":1,"epoch":%d,"rev":%d,"latch":%s,"ms":%s,"h":"%s","cohort":%s,"audience":%s,"flags":{%s}%s}',
    epoch, rev, latch and 'true' or 'false', ms, head,
    cohort and cohort ~= '' and cjson.encode(cohort) or 'null',
    is_audience(audience) and audience or '{"domains":[],"users":[]}',
    table.concat(parts, ','),
    lives and string.format(',"deadman_ms":%d', lives) or '')
end

-- Documents that this call changes, for the audit: flag -> { before or null, after or null }, as JSON.
local changes = {}

local function note(flag, before, after)
  before = document_in(before) and before or 'null'
  changes[#changes + 1] = cjson.encode(flag) .. ':[' .. before .. ',' .. (after or 'null') .. ']'
end

local function put(flag, text)
  local before = redis.call('HGET', FLAGS, flag)
  if before == text then return false end
  note(flag, before, text)
  redis.call('HSET', FLAGS, flag, text)
  return true
end

-- Every first outcome leaves one audit entry, chained to the one before it, and is remembered under its key.
local function finish(status, told)
  local head = redis.call('HGET', META, 'head') or ''
  local body = string.format(
    '{"op":"%s","status":"%s","epoch":%d,"rev":%d,"attempt":%d,"detail":%s,"arguments":%s,"changes":{%s}}',
    op, status, epoch or 0, rev, attempt, cjson.encode(told or ''), arguments, table.concat(changes, ','))
  local chained = redis.sha1hex(head .. body .. ms)
  redis.call('HSET', META, 'head', chained)
  local entry = { 'XADD', AUDIT, '*', 'body', body, 'ms', ms, 'prev', head, 'h', chained }
  local added = redis.pcall(unpack(entry))
  if type(added) == 'table' and added.err then
    -- A stream whose last possible id is used up takes nothing any more; a change must not stop half way for it.
    redis.call('DEL', AUDIT)
    redis.call(unpack(entry))
  end
  redis.call('SET', IDEM, cjson.encode({
    digest = digest, status = status, epoch = epoch or 0, rev = rev, detail = told or '' }), 'PX', ttl)
  return answer(status, told)
end

-- An accepted change of documents, latch or epoch: one revision more, stored and published as one text.
local function commit(told)
  rev = rev + 1
  redis.call('HSET', META, 'epoch', epoch, 'rev', rev, 'latch', latch and '1' or '0')
  finish('OK', told)
  local text = snapshot_text(redis.call('HGET', META, 'head'))
  redis.call('SET', SNAP, text)
  redis.call('PUBLISH', channel, text)
  return answer('OK', told)
end

-- Documents of all flags as one JSON object; '' where there are none.
local function documents()
  local parts = {}
  for _, flag in ipairs(redis.call('HKEYS', FLAGS)) do
    local text = redis.call('HGET', FLAGS, flag)
    if document_in(text) then parts[#parts + 1] = cjson.encode(flag) .. ':' .. text end
  end
  return #parts > 0 and '{' .. table.concat(parts, ',') .. '}' or ''
end

local function refuse(candidates)
  for service, image in pairs(candidates) do
    if type(service) == 'string' and type(image) == 'string' then
      redis.call('HSET', SAFETY, 'refused:' .. service .. '=' .. image, a.by .. ': ' .. a.reason)
    end
  end
end

local function each_in(text, is_fine)
  local found = string.find(text, '^{') and decoded(text)
  if not found then return false end
  for name, value in pairs(found) do if type(name) ~= 'string' or not is_fine(value) then return false end end
  return true
end

local function is_text(value) return type(value) == 'string' end

-- Written anew to be read: a number beyond all others cannot be, and is no document.
local function again(value)
  local fine, text = pcall(cjson.encode, value)
  return fine and text or ''
end

local function is_document(value) return document_in(again(value)) ~= nil end

local function is_stage(value) return each_in(again(value), is_document) end

local KEPT = {
  anchors = is_text, candidates = is_text, before = is_document, former = is_document, stages = is_stage }

-- One damaged record would keep whoever goes back from reading all the others.
local function forget_what_is_none()
  for field, is_fine in pairs(KEPT) do
    local text = redis.call('HGET', SAFETY, field)
    if text and not each_in(text, is_fine) then
      redis.call('HDEL', SAFETY, field)
      detail = detail .. 'removed ' .. field .. ' of ' .. SAFETY .. '; '
    end
  end
end

if op == 'emergency' then
  -- The epoch rises above every one that any surviving key still knows.
  local snapshot = decoded(redis.call('GET', SNAP)) or {}
  epoch = math.max(epoch or 0, whole(snapshot.epoch) or 0, whole(redis.call('HGET', SAFETY, 'fence')) or 0) + 1
  epoch = math.max(epoch, whole(a.min_epoch) or 0)
  rev = math.max(rev, whole(snapshot.rev) or 0)
  local began = redis.call('HGET', SAFETY, 'fence')
  local former = documents()
  -- A second emergency must not forget what the first one turned off.
  if not latch and former ~= '' then redis.call('HSET', SAFETY, 'former', former) end
  if type(snapshot.flags) == 'table' then
    for flag in pairs(snapshot.flags) do if type(flag) == 'string' then put(flag, OFF) end end
  end
  for _, flag in ipairs(redis.call('HKEYS', FLAGS)) do put(flag, OFF) end
  latch = true
  redis.call('HSET', SAFETY, 'fence', epoch, 'latched_by', a.by .. ': ' .. a.reason)
  forget_what_is_none()
  -- Whoever is taken back is refused by this very write: there may be no rollout any more that would see to it.
  -- A worker of before, which does not name its candidates, leaves those of an earlier rollout: nobody is taken back then.
  local candidates, named_at = decoded(redis.call('HGET', SAFETY, 'candidates')), redis.call('HGET', SAFETY, 'named_at')
  if candidates and (not named_at or named_at == began) then
    refuse(candidates)
    redis.call('HSET', SAFETY, 'named_at', epoch)
  else
    redis.call('HDEL', SAFETY, 'candidates')
  end
  return commit(detail)
end

if op == 'begin' then
  if latch then return finish('LATCHED', redis.call('HGET', SAFETY, 'latched_by') or '') end
  local owner = redis.call('HGET', SAFETY, 'owner')
  if owner and owner ~= a.owner then return finish('OWNED', owner) end
  if owner and epoch and epoch >= (a.min_epoch or 0) then return finish('UNCHANGED', owner) end
  if not a.again then
    -- One new image makes it another candidate: a fixed backend may come with the auth that was taken back with it.
    local refused, known = {}, 0
    for service, image in pairs(a.candidates) do
      known = known + 1
      if redis.call('HEXISTS', SAFETY, 'refused:' .. service .. '=' .. image) == 1 then
        refused[#refused + 1] = image
      end
    end
    table.sort(refused)
    if known > 0 and #refused == known then return finish('REFUSED_CANDIDATE', table.concat(refused, ', ')) end
  end
  local before = documents()
  epoch = math.max((epoch or 0) + 1, a.min_epoch or 0)
  redis.call('HDEL', SAFETY, 'anchors', 'former', 'before', 'stages')
  redis.call('HSET', SAFETY, 'owner', a.owner, 'fence', epoch, 'candidates', cjson.encode(a.candidates),
    'named_at', epoch)
  if before ~= '' then redis.call('HSET', SAFETY, 'before', before) end
  if a.stages then redis.call('HSET', SAFETY, 'stages', a.stages) end
  local named = {}
  for _, flag in ipairs(a.flags) do
    named[flag] = true
    put(flag, OFF)
  end
  for _, flag in ipairs(redis.call('HKEYS', FLAGS)) do
    if not named[flag] then
      note(flag, redis.call('HGET', FLAGS, flag), nil)
      redis.call('HDEL', FLAGS, flag)
    end
  end
  redis.call('HSET', META, 'cohort', a.cohort or '', 'audience', a.audience, 'ladders', a.ladders)
  redis.call('HDEL', META, 'deadman')
  redis.call('DEL', ACKS, LEASE)
  if a.deadman then
    redis.call('HSET', META, 'deadman', a.deadman)
    redis.call('SET', LEASE, epoch, 'PX', a.deadman)
  end
  return commit('')
end

-- From here on a database that lost its data is seen as such; no epoch is invented.
if not epoch then return answer('UNINITIALISED') end

if op == 'set' then
  local flags, targets, exposes = {}, {}, false
  for flag, text in pairs(a.to) do
    flags[#flags + 1] = flag
    targets[flag] = cjson.decode(text)
    exposes = exposes or order(targets[flag]) >= 0
  end
  table.sort(flags)
  -- Turning off is always allowed, by anybody. Any exposure needs the fence of the present and no latch.
  if exposes then
    if a.fence < epoch then return finish('STALE_EPOCH', tostring(epoch)) end
    if a.fence > epoch then return finish('LOST_WRITES', tostring(epoch)) end
    if latch then return finish('LATCHED', redis.call('HGET', SAFETY, 'latched_by') or '') end
  end
  local ladders = decoded(redis.call('HGET', META, 'ladders')) or {}
  for _, flag in ipairs(flags) do
    local current = document_in(redis.call('HGET', FLAGS, flag))
    if not current then return finish('UNKNOWN_FLAG', flag) end
    local stands, wanted = order(current), order(targets[flag])
    if wanted > stands then
      local next_rung
      for _, rung in ipairs(ladders[flag] or {}) do
        if rung > stands and (not next_rung or rung < next_rung) then next_rung = rung end
      end
      if wanted ~= next_rung then return finish('STEP_TOO_LARGE', flag) end
    end
    local expected = a.expected and a.expected[flag]
    if expected and expected ~= stands then return finish('CONFLICT', flag) end
  end
  local changed = false
  for _, flag in ipairs(flags) do changed = put(flag, a.to[flag]) or changed end
  if not changed then return finish('UNCHANGED') end
  return commit('')
end

if op == 'rearm' then
  if a.epoch ~= epoch then return finish('STALE_EPOCH', tostring(epoch)) end
  if not latch then return finish('NOT_LATCHED') end
  latch = false
  local former = a.restore and decoded(redis.call('HGET', SAFETY, 'former'))
  if former then
    for flag, kept in pairs(former) do
      local document = document_in(cjson.encode(kept))
      if document and redis.call('HEXISTS', FLAGS, flag) == 1 then
        put(flag, string.format('{"exposure":"%s","bp":%d,"stage":%s}',
          document.exposure, document.bp, cjson.encode(document.stage)))
      end
    end
  end
  -- With the owner goes the dead-man: nobody would renew its lease.
  redis.call('HDEL', SAFETY, 'owner', 'latched_by', 'former')
  redis.call('HDEL', META, 'deadman')
  return commit('')
end

if op == 'anchors' then
  if a.fence < epoch then return finish('STALE_EPOCH', tostring(epoch)) end
  redis.call('HSET', SAFETY, 'anchors', a.anchors)
  if a.candidates then
    redis.call('HSET', SAFETY, 'candidates', cjson.encode(a.candidates),
      'named_at', redis.call('HGET', SAFETY, 'fence') or epoch)
  end
  return finish('OK')
end

if op == 'refuse' then
  refuse(a.candidates)
  return finish('OK')
end

if op == 'release' then
  local owner = redis.call('HGET', SAFETY, 'owner')
  if owner ~= a.owner then return finish('UNCHANGED', owner or '') end
  redis.call('HDEL', SAFETY, 'owner')
  -- Refused, it has served nobody: there is no candidate that a later emergency could take back.
  if a.reason == 'refused' then redis.call('HDEL', SAFETY, 'candidates') end
  if redis.call('HDEL', META, 'deadman') == 0 then return finish('OK') end
  redis.call('DEL', LEASE)
  return commit('')
end

return redis.error_reply('ERR unknown operation ' .. op)
