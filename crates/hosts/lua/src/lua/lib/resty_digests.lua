-- Digests with the interface of resty.sha256 and kin: new, update, final, reset.
local native = ...
return function(algorithm)
  local Digest = {}
  Digest.__index = Digest
  function Digest.new() return setmetatable({ parts = {} }, Digest) end
  function Digest:update(text) table.insert(self.parts, tostring(text)) return true end
  function Digest:final(text)
    if text then self:update(text) end
    return native.digest(algorithm, table.concat(self.parts))
  end
  function Digest:reset() self.parts = {} return true end
  return Digest
end
