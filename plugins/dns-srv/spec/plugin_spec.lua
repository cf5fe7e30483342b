local t = require "solder.test"

local function srv(target, port, weight, priority)
  return {target = target, port = port, weight = weight or 0, priority = priority or 0}
end

t.describe("dns-srv", function()
  local w

  t.before_each(function()
    w = t.world()
    w:dns("a.test", "addresses", {"10.0.0.1"})
    w:dns("b.test", "addresses", {"10.0.0.2", "::2"})
  end)

  t.it("finds addresses of targets", function()
    w:dns("_http._tcp.shop.test", "SRV", {srv("a.test", 80), srv("b.test", 81)})
    w:discover{services = {shop = "_http._tcp.shop.test"}}
    w:pass "100ms"
    t.equal(w:endpoints "shop", {"10.0.0.1:80", "10.0.0.2:81", "::2:81"})
    t.equal(w:upstreams().shop.spec.static.hosts[1], {addr = "10.0.0.1", port = 80})
  end)

  t.it("takes weights over", function()
    w:dns("s1.test", "SRV", {srv("a.test", 80, 5), srv("a.test", 81, 0)})
    w:discover{services = {weights = "s1.test"}}
    w:pass "100ms"
    t.equal(w:upstreams().weights.spec.static.hosts,
            {{addr = "10.0.0.1", port = 80, loadBalancingWeight = 5}, {addr = "10.0.0.1", port = 81, loadBalancingWeight = 1}})
  end)

  t.it("takes those to be used first, or all", function()
    for _, case in ipairs{{"first", {"10.0.0.1:80"}}, {"all", {"10.0.0.1:80", "10.0.0.1:81"}}} do
      w = t.world()
      w:dns("a.test", "addresses", {"10.0.0.1"})
      w:dns("s2.test", "SRV", {srv("portless.test", 0, 0, 0), srv(".", 1, 0, 0), srv("a.test", 80, 0, 1), srv("a.test", 81, 0, 2)})
      w:discover{services = {ranks = "s2.test"}, priorities = case[1]}
      w:pass "100ms"
      t.equal(w:endpoints "ranks", case[2])
    end
  end)

  t.it("follows changes", function()
    w:dns("s3.test", "SRV", {srv("a.test", 80)})
    w:discover{services = {moves = "s3.test"}}
    w:pass "100ms"
    w:dns("s3.test", "SRV", {srv("b.test", 80)})
    w:pass "14s"
    t.equal(w:endpoints "moves", {"10.0.0.1:80"})
    w:pass "1s"
    t.equal(w:endpoints "moves", {"10.0.0.2:80", "::2:80"})
    w:dns("s3.test", "SRV", {})
    w:pass "15s"
    t.equal(w:endpoints "moves", {})
  end)

  t.it("keeps what it found of a name that cannot be asked for, while others move", function()
    w:dns("s4.test", "SRV", {srv("a.test", 80)})
    w:dns("s5.test", "SRV", {srv("a.test", 90)})
    w:discover{services = {stays = "s4.test", goes = "s5.test"}}
    w:pass "100ms"
    w:dns("s4.test", "SRV", "no answer of the server")
    w:dns("s5.test", "SRV", {srv("a.test", 91)})
    w:pass "15s"
    t.equal(w:endpoints "stays", {"10.0.0.1:80"})
    t.equal(w:endpoints "goes", {"10.0.0.1:91"})
    t.matches(w:problem(), "no answer of the server$")
    -- Also when it is a target that nobody knows now, and after the task has begun anew.
    w:dns("s4.test", "SRV", {srv("c.test", 80)})
    w:dns("c.test", "addresses", "timed out")
    w:pass "2s"
    t.equal(w:endpoints "stays", {"10.0.0.1:80"})
    t.matches(w:problem(), "timed out$")
    w:dns("c.test", "addresses", {"10.0.0.3"})
    w:pass "5s"
    t.equal(w:endpoints "stays", {"10.0.0.3:80"})
    t.equal(w:problem(), nil)
  end)

  t.it("serves those that are known when one was never answered", function()
    w:dns("s6.test", "SRV", "no answer of the server")
    w:dns("s7.test", "SRV", {srv("a.test", 80)})
    w:discover{services = {dark = "s6.test", light = "s7.test"}}
    w:pass "100ms"
    t.equal(w:endpoints "dark", nil)
    t.equal(w:endpoints "light", {"10.0.0.1:80"})
    t.matches(w:problem(), "no answer of the server$")
  end)

  t.it("asks for a target once a round", function()
    w:dns("s8.test", "SRV", {srv("once.test", 80), srv("once.test", 81)})
    w:dns("once.test", "addresses", {"10.0.0.4"})
    w:discover{services = {once = "s8.test"}}
    w:pass "100ms"
    t.equal(w:endpoints "once", {"10.0.0.4:80", "10.0.0.4:81"})
  end)

  t.it("finds nothing without services", function()
    w:discover()
    w:pass "100ms"
    t.equal(w:upstreams(), {})
    t.equal(w:problem(), nil)
  end)

  t.it("wants names of upstreams", function()
    t.raises(function()
      w:discover{services = {["Shop"] = "s.test"}}
    end, "names of upstreams are made of")
  end)
end)
