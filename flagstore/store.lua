-- Every change of a group's flags, as one atomic step. Refusals are answers, not errors: only a fault may be retried.
--
-- KEYS  meta flags snap audit idem safety          (all of one group, one hash slot)
-- ARGV  op, request digest, idempotency ttl in ms, channel, arguments as JSON
-- returns  { status, epoch, rev, detail, replayed 0/1 }

local META, FLAGS, SNAP, AUDIT, IDEM, SAFETY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local op, digest, ttl, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local a = cjson.decode(ARGV[5])
local detail = ''

-- An emergency is accepted from every state of the database: a key of a wrong type is removed, and that is told.
if op == 'emergency' then
  local kinds = { [META] = 'hash', [FLAGS] = 'hash', [SNAP] = 'string', [AUDIT] = 'stream', [IDEM] = 'string', [SAFETY] = 'hash' }
  for _, key in ipairs(KEYS) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= kinds[key] then
      redis.call('DEL', key)
      detail = detail .. 'removed ' .. key .. ' of type ' .. kind .. '; '
    end
  end
end

local prior = redis.call('GET', IDEM)
if prior then
  local known = cjson.decode(prior)
  if known.digest ~= digest then
    return { 'IDEM_MISMATCH', 0, 0, 'this key was used for another request', 0 }
  end
  return { known.status, known.epoch, known.rev, known.detail, 1 }
end

local function number(field) return tonumber(redis.call('HGET', META, field) or nil) end

local epoch, rev, latch = number('epoch'), number('rev') or 0, redis.call('HGET', META, 'latch') == '1'
local instant = redis.call('TIME')
local ms = string.format('%.0f', tonumber(instant[1]) * 1000 + math.floor(tonumber(instant[2]) / 1000))

local function order(document)
  if document.exposure == 'off' then return -1 end
  return document.bp
end

local function document_of(flag)
  local text = redis.call('HGET', FLAGS, flag)
  return text and cjson.decode(text) or nil
end

local function snapshot_text(head)
  local names, parts = redis.call('HKEYS', FLAGS), {}
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = cjson.encode(name) .. ':' .. redis.call('HGET', FLAGS, name)
  end
  local cohort = redis.call('HGET', META, 'cohort')
  return string.format(
    '{"v":1,"epoch":%d,"rev":%d,"latch":%s,"ms":%s,"h":"%s","cohort":%s,"audience":%s,"flags":{%s}}',
    epoch, rev, latch and 'true' or 'false', ms, head,
    cohort and cohort ~= '' and cjson.encode(cohort) or 'null',
    redis.call('HGET', META, 'audience') or '{"domains":[],"users":[]}',
    table.concat(parts, ','))
end

-- Every first outcome leaves one audit entry, chained to the one before it.
local function finish(status, told)
  local head = redis.call('HGET', META, 'head') or ''
  local body = cjson.encode({ op = op, status = status, args = ARGV[5], epoch = epoch or 0, rev = rev })
  local chained = redis.sha1hex(head .. body .. ms)
  redis.call('HSET', META, 'head', chained)
  redis.call('XADD', AUDIT, '*', 'op', op, 'status', status, 'by', a.by or '', 'reason', a.reason or '',
    'attempt', tostring(a.attempt or 1), 'epoch', epoch or 0, 'rev', rev, 'ms', ms, 'body', body, 'h', chained)
  redis.call('SET', IDEM, cjson.encode({ digest = digest, status = status, epoch = epoch or 0, rev = rev, detail = told or '' }), 'PX', ttl)
  return { status, epoch or 0, rev, told or '', 0 }
end

-- An accepted change of documents, latch or epoch: one revision more, stored and published as one text.
local function commit(told)
  rev = rev + 1
  redis.call('HSET', META, 'epoch', epoch, 'rev', rev, 'latch', latch and '1' or '0')
  local answer = finish('OK', told)
  local text = snapshot_text(redis.call('HGET', META, 'head'))
  redis.call('SET', SNAP, text)
  redis.call('PUBLISH', channel, text)
  return answer
end

local function all_off()
  for _, flag in ipairs(redis.call('HKEYS', FLAGS)) do
    redis.call('HSET', FLAGS, flag, '{"exposure":"off","bp":0,"stage":"off"}')
  end
end

if op == 'emergency' then
  if not latch then
    local former = {}
    local names = redis.call('HKEYS', FLAGS)
    for _, flag in ipairs(names) do former[flag] = redis.call('HGET', FLAGS, flag) end
    if #names > 0 then redis.call('HSET', SAFETY, 'former', cjson.encode(former)) end
  end
  all_off()
  epoch = math.max((epoch or 0) + 1, a.min_epoch or 0)
  latch = true
  redis.call('HSET', SAFETY, 'fence', epoch)
  return commit(detail)
end

if op == 'begin' then
  if latch then return finish('LATCHED', redis.call('HGET', SAFETY, 'latched_by') or '') end
  local owner = redis.call('HGET', SAFETY, 'owner')
  if owner and owner ~= '' and owner ~= a.owner then return finish('OWNED', owner) end
  if owner == a.owner then return finish('OK', owner) end
  if not a.again then
    for service, image in pairs(a.candidates) do
      if redis.call('HEXISTS', SAFETY, 'refused:' .. service .. '=' .. image) == 1 then
        return finish('REFUSED_CANDIDATE', image)
      end
    end
  end
  redis.call('DEL', FLAGS)
  for _, flag in ipairs(a.flags) do redis.call('HSET', FLAGS, flag, '{"exposure":"off","bp":0,"stage":"off"}') end
  redis.call('HSET', META, 'cohort', a.cohort or '', 'audience', a.audience, 'ladder', a.ladder)
  epoch = math.max((epoch or 0) + 1, a.min_epoch or 0)
  redis.call('HSET', SAFETY, 'owner', a.owner, 'fence', epoch)
  redis.call('HDEL', SAFETY, 'anchors', 'former')
  return commit('')
end

-- From here on a database that lost its data is seen as such; no epoch is invented.
if not epoch then return { 'UNINITIALISED', 0, 0, '', 0 } end

if op == 'set' then
  local up = false
  local ladder = cjson.decode(redis.call('HGET', META, 'ladder') or '[]')
  for flag, to in pairs(a.to) do
    local current = document_of(flag)
    if not current then return finish('UNKNOWN_FLAG', flag) end
    if a.expected and a.expected[flag] and order(a.expected[flag]) ~= order(current) then
      return finish('CONFLICT', flag)
    end
    if order(to) > order(current) then
      up = true
      local step = false
      for _, rung in ipairs(ladder) do
        if rung > order(current) then step = rung == order(to) break end
      end
      if not step then detail = flag end
    end
    if order(to) > -1 then up = true end
  end
  if up then
    if a.fence ~= epoch then return finish('STALE_EPOCH', tostring(epoch)) end
    if latch then return finish('LATCHED', '') end
    if detail ~= '' then return finish('STEP_TOO_LARGE', detail) end
  end
  for flag, to in pairs(a.to) do redis.call('HSET', FLAGS, flag, a.documents[flag]) end
  return commit('')
end

if op == 'rearm' then
  if a.epoch ~= epoch then return finish('STALE_EPOCH', tostring(epoch)) end
  if not latch then return finish('NOT_LATCHED', '') end
  latch = false
  if a.restore then
    local former = redis.call('HGET', SAFETY, 'former')
    if former then
      for flag, text in pairs(cjson.decode(former)) do redis.call('HSET', FLAGS, flag, text) end
    end
  end
  redis.call('HDEL', SAFETY, 'owner')
  return commit('')
end

if op == 'anchors' then
  if a.fence < epoch then return finish('STALE_EPOCH', tostring(epoch)) end
  redis.call('HSET', SAFETY, 'anchors', a.anchors, 'fence', a.fence)
  return finish('OK', '')
end

if op == 'refuse' then
  for service, image in pairs(a.candidates) do
    redis.call('HSET', SAFETY, 'refused:' .. service .. '=' .. image, a.reason)
  end
  return finish('OK', '')
end

if op == 'release' then
  local owner = redis.call('HGET', SAFETY, 'owner')
  if owner and owner ~= '' and owner ~= a.owner then return finish('OWNED', owner) end
  redis.call('HDEL', SAFETY, 'owner')
  return finish('OK', '')
end

return redis.error_reply('ERR unknown operation ' .. op)
