// The modules that read and write data: what they accept, what they refuse, and that their ceilings hold.
#include "plugin/library_support.h"

static void json_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *again; // NULL: the same
    } same[] = {
        {"null", NULL}, {"true", NULL}, {"false", NULL}, {"0", NULL}, {"-1", NULL}, {"9223372036854775807", NULL}, {"-9223372036854775808", NULL},
        {"9223372036854775808", "9.223372036854776e+18"}, {"1.0", "1"}, {"0.1", NULL}, {"1e2", "100"}, {"1E-2", "0.01"}, {"1e308", "1e+308"},
        {"5e-324", "4.94065645841247e-324"}, {"-0.5", NULL}, {"3.141592653589793", NULL}, {"\"\"", NULL}, {"[]", NULL}, {"{}", NULL}, {"[[],{}]", NULL},
        {" [ 1 , 2 ] ", "[1,2]"}, {"{\"b\":1,\"a\":[null]}", "{\"a\":[null],\"b\":1}"}, {"{\"\":0}", NULL},
        {"\"\\u0041\\u00e9\\ud83d\\ude00\\/\"", "\"A\u00e9\U0001F600/\""}, {"\"\\u0000\\u001f\"", NULL}, {"\"\\\"\\\\\\b\\f\\n\\r\\t\"", NULL},
        {"{\"1\":2}", NULL}, {"\"\\ud800\"", "\"\ufffd\""},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(same); i++) {
        char body[400];
        snprintf(body, sizeof(body), "local v, w = json.decode([==[%s]==]) assert(v ~= nil, w) return (json.encode(v))", same[i].text);
        expect_lib(body, same[i].again ? same[i].again : same[i].text);
    }
    expect_lib("return math.type(json.decode('9007199254740993')) .. json.decode('9007199254740993')", "integer9007199254740993");
    expect_lib("return tostring(json.null) .. tostring(json.null == nil) .. tostring(json.decode('null') == json.null)", "nullfalsetrue");
}

static void json_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "nul", "nulll", "True", "tru", "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "Infinity", "--1", "1 2", "'a'", "\"", "\"\\x\"",
        "\"\\u12\"", "\"\\u12g4\"", "\"\t\"", "\"\n\"", "[", "]", "[1", "[1,", "[,1]", "[1,]", "[1 2]", "{", "}", "{\"a\"}", "{\"a\":}",
            "{\"a\":1,}", "{a:1}",
        "{\"a\" 1}", "{1:1}", "{\"a\":1 \"b\":2}", "[1]x", "/* */1", "1//", "1e999", "-1e999", "\xef\xbb\xbf" "1", "{\"a\":1,\"a\":2}", "\xff", "\"\xff\"",
        "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        char call[300];
        snprintf(call, sizeof(call), "json.decode([==[%s%s]==])", bad[i][0] == '\n' ? "\n" : "", bad[i]);
        expect_not_right(call, "no valid JSON at byte ");
    }
    expect_not_right("json.decode('[1, 2, x]')", "at byte 8: something else");
    expect_not_right("json.decode('{\"a\": [1')", "at byte 9: it ends too early");
    expect_not_right("json.decode('{\"a\": 1, \"a\": 2}')", "a name is there twice");
    expect_not_right("json.decode('1\\0')", "at byte 2");
    expect_not_right("json.decode('\"a\\0b\"')", "no valid JSON");
}

static void json_is_bounded(void **state)
{
    (void)state;
    expect_lib("return json.decode(('['):rep(64) .. (']'):rep(64)) ~= nil", "true");
    expect_not_right("json.decode(('['):rep(65) .. (']'):rep(65))", "nested too deeply");
    expect_not_right("json.decode(('{\"a\":'):rep(9000))", "nested too deeply");
    expect_not_right("json.decode(('['):rep(90000))", "nested too deeply");
    expect_not_right("json.decode('[[1]]', {max_depth = 1})", "nested too deeply");
    expect_not_right("json.decode('[]', {max_depth = 0})", "nested too deeply");
    expect_lib("return json.decode('1', {max_depth = 0})", "1");
    expect_not_right("json.decode(('1'):rep(90000))", "too great or too long");
    expect_lib_limit("while true do json.decode('[1,2,3,4,5,6,7,8]') end", "steps");
    expect_lib_limit("local t = {} for i = 1, 1e5 do t[i] = json.decode('[' .. ('[],'):rep(1000) .. '1]') end", "not enough memory");
    expect_lib_error("local t = {} t.t = t json.encode(t)", "nested more than 64 deep, or holds itself");
    expect_lib_error("json.encode(print)", "a function has no form");
    expect_lib_error("json.encode{[1] = 1, [3] = 3, a = 1}", "not both");
    expect_lib_error("json.encode{[1.5] = 1}", "a key is 1.5");
    expect_lib_error("json.encode(json.array{a = 1})", "keys other than 1 to 0");
    expect_lib_error("json.encode(0/0)", "no number for");
    expect_lib_error("json.encode(math.huge)", "no number for infinity");
    expect_lib_error("json.encode()", "value expected");
    expect_not_right("json.encode{'\\xff'}", "not UTF-8 at its byte 1");
    expect_not_right("json.encode{['\\xc3'] = 1}", "not UTF-8");
}

// Arrays stay arrays, also when they are read-only, and when they were emptied.
static void json_arrays(void **state)
{
    (void)state;
    struct try t;
    expect_lib("local a = json.decode('[1]') table.remove(a) return json.encode(a)", "[]");
    expect_lib("local a = json.decode('{\"l\":[]}') a.l[1] = 'x' return json.encode(a)", "{\"l\":[\"x\"]}");
    expect_lib("return json.encode({a = 1, list = {1, {b = 2}}}, {indent = 2})", "{\n  \"a\": 1,\n  \"list\": [\n    1,\n    {\n      \"b\": 2\n    "
        "}\n  ]\n}");
    expect_lib("return json.encode({json.array(), {}}, {indent = 1})", "[\n [],\n {}\n]");
    const char *script = "local json = require 'solder.json' local t = json.decode('{\"e\":[],\"o\":{},\"l\":[1]}') return function() return "
        "json.encode(t) end";
    assert_int_equal(try_begin(&t, &small, script), SLD_OK);
    assert_int_equal(try_run(&t), SLD_OK);
    assert_string_equal(t.result, "{\"e\":[],\"l\":[1],\"o\":{}}");
    try_end(&t);
}

static void yaml_values(void **state)
{
    (void)state;
    expect_lib("return json.encode(yaml.decode('a: 1\\nb: [x, \"2\", 2.5, true, null, ~]\\nc: {}\\nd: []\\ne: |\\n  t\\n'))",
               "{\"a\":1,\"b\":[\"x\",\"2\",2.5,true,null,null],\"c\":{},\"d\":[],\"e\":\"t\\n\"}");
    expect_lib("return json.encode(yaml.decode('base: &b {x: 1}\\nm:\\n  <<: *b\\n  y: 2\\n'))", "{\"base\":{\"x\":1},\"m\":{\"x\":1,\"y\":2}}");
    expect_lib("return json.encode(yaml.decode_all('1\\n---\\n- a\\n'))", "[1,[\"a\"]]");
    expect_lib("return json.encode(yaml.decode_all(''))", "[]");
    expect_not_right("yaml.decode('')", "0 documents");
    expect_not_right("yaml.decode('a: 1\\n---\\nb: 1\\n')", "2 documents instead of one");
    expect_not_right("yaml.decode('a: [')", "line");
    expect_not_right("yaml.decode('a: 1\\na: 2\\n')", "line 2");
    expect_not_right("yaml.decode('\\xff')", "");
    // Aliases that grow without end.
    expect_not_right("yaml.decode('a: &a [1,1,1,1,1,1,1,1,1]\\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\\nd: &d "
        "[*c,*c,*c,*c,*c,*c,*c,*c]\\n"
                     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\\n')", "");
    expect_not_right("yaml.decode(('['):rep(5000))", "");
}

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *parts;
    } cases[] = {
        {"http://a/b", "{\"host\":\"a\",\"path\":\"/b\",\"scheme\":\"http\"}"},
        {"//a:80", "{\"host\":\"a\",\"path\":\"\",\"port\":80}"},
        {"/p?q#f", "{\"fragment\":\"f\",\"path\":\"/p\",\"query\":\"q\"}"},
        {"?q?r", "{\"path\":\"\",\"query\":\"q?r\"}"},
        {"mailto:a@b", "{\"path\":\"a@b\",\"scheme\":\"mailto\"}"},
        {"http://u:p@h@x/", "{\"host\":\"x\",\"path\":\"/\",\"scheme\":\"http\",\"userinfo\":\"u:p@h\"}"},
        {"http://[::1]/", "{\"host\":\"::1\",\"path\":\"/\",\"scheme\":\"http\"}"},
        {"http://a:/", "{\"host\":\"a\",\"path\":\"/\",\"scheme\":\"http\"}"},
        {"1a:b", "{\"path\":\"1a:b\"}"},
        {"", "{\"path\":\"\"}"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char body[300];
        snprintf(body, sizeof(body), "return json.encode(assert(url.parse('%s')))", cases[i].text);
        expect_lib(body, cases[i].parts);
    }
    static const char *const bad[] = {"http://a b/", "http://a\\nb/", "http://a:99999/", "http://a:x/", "http://[::1", "http://[1.2.3.4]/", "http://[::1]x/",
                                      "http://a<b/", "http://a\\\\b/", "http://a\\0b/"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        char call[100];
        snprintf(call, sizeof(call), "url.parse('%s')", bad[i]);
        expect_not_right(call, "");
    }
    expect_lib("local t = 'https://u@h:1/p?q#f' return url.build(url.parse(t)) == t", "true");
    expect_lib_error("url.build{host = 'a', path = 'b'}", "the path begins with /");
    expect_lib_error("url.build{scheme = 'a b'}", "is no scheme");
    expect_lib_error("url.build{hots = 'a'}", "there is no option 'hots' here; there are scheme, userinfo, host");
    expect_lib("local s = '' for i = 0, 255 do s = s .. string.char(i) end return url.decode(url.encode(s)) == s", "true");
    expect_not_right("url.decode('%4')", "two hexadecimal");
    expect_not_right("url.decode('%zz')", "two hexadecimal");
    expect_lib("local f, a = url.parse_query('?a=1&&b&c=&a=%32&=x&d=1=2') return json.encode{f, a}",
               "[{\"\":\"x\",\"a\":\"1\",\"b\":\"\",\"c\":\"\",\"d\":\"1=2\"},{\"\":[\"x\"],\"a\":[\"1\",\"2\"],\"b\":[\"\"],\"c\":[\"\"],\"d\":[\"1=2\"]}]");
    expect_not_right("url.parse_query('a=%')", "two hexadecimal");
    expect_not_right("url.parse_query(('a&'):rep(1001))", "more than 1000 parameters");
    expect_lib_error("url.build_query{a = {}, b = print}", "the query's 'b' is a function");
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *range, *address, *in;
    } cases[] = {
        {"0.0.0.0/0", "255.255.255.255", "true"}, {"0.0.0.0/0", "::1", "false"},         {"::/0", "::1", "true"},
        {"10.0.0.0/8", "10.255.255.255", "true"}, {"10.0.0.0/8", "11.0.0.0", "false"},   {"10.0.0.0/8", "9.255.255.255", "false"},
        {"10.0.0.1", "10.0.0.1", "true"},         {"10.0.0.1/32", "10.0.0.2", "false"},  {"10.0.0.0/31", "10.0.0.1", "true"},
        {"2001:db8::/32", "2001:db8:ffff::", "true"}, {"2001:db8::/32", "2001:db9::", "false"}, {"2001:db8::/33", "2001:db8:8000::", "false"},
        {"::1/128", "::1", "true"},               {"10.0.0.0/8", "::ffff:10.1.1.1", "true"}, {"::ffff:10.0.0.0/104", "10.1.1.1", "true"},
        {"192.168.128.0/17", "192.168.127.255", "false"}, {"192.168.128.0/17", "192.168.128.0", "true"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char body[200];
        snprintf(body, sizeof(body), "return assert(cidr.set{'%s'}):contains('%s')", cases[i].range, cases[i].address);
        expect_lib(body, cases[i].in);
    }
    static const char *const bad[] = {"", "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8", "010.0.0.1", "10.0.0.256",
                                      "::1/129", "fe80::1%eth0", "[::1]", "10.0.0.1:80", "a.b", "10.0.0.0/8 ", "0x0a.0.0.1", ":::", "1::2::3"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        char call[200];
        snprintf(call, sizeof(call), "cidr.parse('%s')", bad[i]);
        expect_not_right(call, "'");
        snprintf(call, sizeof(call), "cidr.set{'10.0.0.0/8', '%s'}", bad[i]);
        expect_not_right(call, "'");
        if (!strchr(bad[i], '/')) {
            snprintf(call, sizeof(call), "assert(cidr.set{'10.0.0.0/8'}):contains('%s')", bad[i]);
            expect_not_right(call, "is no address");
        }
    }
    expect_not_right("cidr.parse('2001:db8::1/32')", "did you mean 2001:db8::/32?");
    expect_lib_error("cidr.set{'10.0.0.0/8', 1}", "number 2 is a number");
    expect_lib("local s = assert(cidr.set{'10.1.0.0/16', '10.0.0.0/8', '10.0.0.0/24'}) return tostring(s:contains('10.2.0.0')) .. "
               "tostring(s:contains('10.0.9.0')) .. tostring(s:contains('11.0.0.0'))", "truetruefalse");
    // Many ranges against the plain way.
    expect_lib("local list, plain = {}, {} for i = 0, 999 do list[#list + 1] = ('10.%d.%d.0/%d'):format(i % 7 * 2, i // 7, i % 3 == 0 and 24 or 25) end "
               "local set = assert(cidr.set(list)) for _, r in ipairs(list) do plain[#plain + 1] = assert(cidr.set{r}) end "
               "for i = 0, 60 do local a = ('10.%d.%d.%d'):format(i % 15, i * 3, i * 4 % 256) local want = false "
               "for _, p in ipairs(plain) do want = want or p:contains(a) end assert(set:contains(a) == want, a) end return "
                   "assert(cidr.set{}):contains('::1')",
               "false");
}

static void times(void **state)
{
    (void)state;
    static const struct {
        const char *text, *seconds;
    } cases[] = {
        {"1970-01-01T00:00:00Z", "0"}, {"1969-12-31T23:59:59Z", "-1"}, {"2024-02-29T12:00:00.5Z", "1709208000.5"}, {"9999-12-31T23:59:59Z", "253402300799"},
        {"Sun, 06 Nov 1994 08:49:37 GMT", "784111777"}, {"Sunday, 06-Nov-94 08:49:37 GMT", "784111777"}, {"Sun Nov  6 08:49:37 1994", "784111777"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char body[200];
        snprintf(body, sizeof(body), "return assert(time.parse('%s'))", cases[i].text);
        expect_lib(body, cases[i].seconds);
    }
    static const char *const bad[] = {"", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01", "2024-01-01T24:00:00Z", "0000-01-01T00:00:00Z",
                                      "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov "
                                          "1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ", "784111777", "Sun, 06 Nov 1994 08:49:37 +0000"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        char call[200];
        snprintf(call, sizeof(call), "time.parse('%s')", bad[i]);
        expect_not_right(call, "is no time");
    }
    expect_lib("return time.format(-1.5) .. ' ' .. time.format(0.25) .. ' ' .. time.http(0)", "1969-12-31T23:59:58.5Z 1970-01-01T00:00:00.25Z Thu, "
        "01 Jan 1970 00:00:00 GMT");
    expect_lib_error("time.format(1e12)", "Unix seconds of the years 1 to 9999");
    expect_lib_error("time.format(0/0)", "Unix seconds");
    expect_lib_error("time.http('0')", "number expected");
    expect_not_right("time.duration('1 day')", "is no duration");
    expect_call("local a = time.now() time.sleep(5) return math.floor(time.now() - a)", "5");
}

static void expressions(void **state)
{
    (void)state;
    expect_lib("local e = assert(re.compile('(a)|(b)')) return json.encode{e:match('b')}", "[false,\"b\"]");
    expect_lib("local e = assert(re.compile('a*')) return json.encode{e:find('baa')}", "[1,0]");
    expect_lib("local e = assert(re.compile('a*')) return json.encode{e:find('baa', 2)}", "[2,3]");
    expect_lib("local e = assert(re.compile('a')) return json.encode{e:find('aba', -1)}", "[3,3]");
    expect_lib("local e = assert(re.compile('a')) return tostring(e:find('aba', 9))", "nil");
    expect_lib("local e = assert(re.compile('^a')) return tostring(e:match('aaa', 2))", "nil");
    expect_lib("local e = assert(re.compile('a*')) return (e:gsub('baac', '-'))", "-b--c-");
    expect_lib("local e = assert(re.compile('b')) return json.encode{e:gsub('abcb', {b = 'x'}, 1)}", "[\"axcb\",1]");
    expect_lib("local e = assert(re.compile('(.)(.)')) return (e:gsub('abcd', function(a, b) if a == 'a' then return b .. a end end))", "bacd");
    expect_lib("local e = assert(re.compile('x')) return (e:gsub('axb', '100%%'))", "a100%b");
    expect_lib_error("assert(re.compile('x')):gsub('x', '%1')", "the number of a group, 0 to 0");
    expect_lib_error("assert(re.compile('x')):gsub('x', '%')", "is followed by");
    expect_lib_error("assert(re.compile('x')):gsub('x', function() return {} end)", "a replacement is a table");
    expect_lib_error("assert(re.compile('x')):gsub('x', 1)", "string, function or table expected");
    expect_lib("return assert(re.compile('\\xff.')):is('\\xff\\x80')", "true");
    expect_lib("return assert(re.compile('a.b', nil)):is('a\\0b')", "true");
    expect_not_right("re.compile('(')", "missing");
    expect_not_right("re.compile('(?=a)')", "invalid");
    expect_not_right("re.compile([[(a)\\1]])", "invalid");
    expect_not_right("re.compile('((a{100}){100}){100}')", "");
    expect_not_right("re.compile(('a'):rep(9000))", "at most 8192");
    expect_not_right("re.compile(('(a)'):rep(40))", "40 groups, at most 32");
    // What takes other matchers longer than the universe lasts.
    expect_lib("return assert(re.compile('(a*)*b')):match(('a'):rep(9000))", "nil");
    expect_lib("return assert(re.compile('(x+x+)+y')):is(('x'):rep(9000))", "false");
    expect_lib_limit("local e = assert(re.compile('(a?){200}a{200}')) local s = ('a'):rep(9000) for i = 1, 20 do e:match(s) end", "steps");
    expect_lib_limit("local e = assert(re.compile('(a?){200}a{200}')) local s = ('a'):rep(50000) while true do e:match(s) end", "steps");
    expect_lib_limit("assert(re.compile('a')):gsub(('a'):rep(50000), function() while true do end end)", "steps");
    expect_lib_limit("local e = assert(re.compile('z?')) while true do e:gsub(('a'):rep(50000), '') end", "steps");
}

static void templates(void **state)
{
    (void)state;
    static const char *const bad[] = {"{", "}", "{}", "{a", "a}", "{a}}", "{a b}", "{.a}", "{a.}", "{a|}", "{a|upper}", "{{}", "{a|url|url}", "{{{a"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        char call[100];
        snprintf(call, sizeof(call), "template.compile('%s')", bad[i]);
        expect_not_right(call, "");
    }
    expect_lib("return assert(template.compile('')):render{}", "");
    expect_lib("return assert(template.compile('{{{a}}}{{}}')):render{a = 1}", "{1}{}");
    expect_lib("return assert(template.compile('{a.b.c}{d}')):render{a = {b = {c = true}}, d = 2.5}", "true2.5");
    expect_lib("return assert(template.compile('{a|json}')):render{a = {1, 'x'}}", "[1,\"x\"]");
    expect_lib("return assert(template.compile('{a|html}{a|text}{a}', {escape = 'url'})):render{a = '<&>\"\\''}",
        "&lt;&amp;&gt;&quot;&#39;<&>\"'%3C%26%3E%22%27");
    expect_lib("return assert(template.compile('{x}')):render{x = '{y}', y = 'no'}", "{y}");
    expect_not_right("assert(template.compile('{a.b}')):render{a = 1}", "there is no value for 'a.b'");
    expect_not_right("assert(template.compile('{a}')):render{a = {}}", "it is a table");
    expect_not_right("assert(template.compile('{a|json}')):render{a = '\\xff'}", "not UTF-8");
    expect_lib_error("template.compile('', {escape = 'x'})", "escape must be");
    expect_lib_error("assert(template.compile(('{a}'):rep(1000))):render{a = ('x'):rep(1000)}", "at most 100000 are made here");
}

static void caches(void **state)
{
    (void)state;
    expect_call("local c = cache.new{max = 3} for i = 1, 5 do c:set('k' .. i, i) end return json.encode{c:get('k1') or 0, c:get('k2') or 0, "
        "c:get('k3'), c:get('k4'), c:get('k5')}",
                "[0,0,3,4,5]");
    expect_call("local c = cache.new{ttl = 10} c:set('a', 1) c:set('b', 1, 20) c:set('c', 1, 0) time.sleep(9.9) assert(c:get('a')) time.sleep(0.1) "
                "local first = c:get('a') time.sleep(10) return tostring(first) .. tostring(c:get('b')) .. tostring(c:get('c'))", "nilnil1");
    expect_call("local c = cache.new{max = 2} c:set('a', 1) c:set('b', 1) c:set('a', 2) c:set('c', 1) return tostring(c:get('b')) .. c:get('a')", "nil2");
    expect_call("local c = cache.new{max = 1} c:set('a', 1) c:delete('a') c:delete('a') c:set('b', 2) return tostring(c:get('a')) .. c:get('b')", "nil2");
    // Against the plain way, with all of its moves.
    expect_call("local c, order, values = cache.new{max = 7}, {}, {} local x = 1 "
                "local function touch(k) for i, o in ipairs(order) do if o == k then table.remove(order, i) break end end order[#order + 1] = k end "
                "for step = 1, 2000 do x = (x * 1103515245 + 12345) % 2147483648 local k, what = x // 65536 % 12, x // 1048576 % 4 "
                "if what == 0 then c:delete(k) if values[k] then values[k] = nil for i, o in ipairs(order) do if o == k then table.remove(order, i) "
                    "break end end end "
                "elseif what == 1 then c:set(k, step) values[k] = step touch(k) if #order > 7 then values[table.remove(order, 1)] = nil end "
                "else assert(c:get(k) == values[k], step) if values[k] then touch(k) end end end return 'same'", "same");
    expect_lib_error("cache.new{max = 0}", "max must be a whole number from 1 to 100000");
    expect_lib_error("cache.new{ttl = -1}", "ttl must be a number from 0");
    expect_lib_limit("local all = {} for i = 1, 100 do all[i] = cache.new{max = 100000} end", "not enough memory");
    expect_call("local c = cache.new() local ok, e = pcall(c.set, c, {}, 1) return e:match('string or integer expected')", "string or integer expected");
    expect_call("local c = cache.new() local ok, e = pcall(c.set, c, 'k') return e:match('value expected')", "value expected");
}

static void certificates(void **state)
{
    (void)state;
    expect_not_right("x509.parse('')", "no certificate");
    expect_not_right("x509.parse('-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n')", "cannot be read");
    // Of the manual's example, all of its names.
    const char *example = pl_x509.bindings[0].example;
    const char *begin = strstr(example, "[["), *end = strstr(example, "]]");
    char body[2048];
    snprintf(body, sizeof(body), "local f = assert(x509.parse%.*s) return json.encode{f.names, f.chain_length, f.issuer}", (int)(end - begin + 2), begin);
    expect_lib(body, "[[{\"type\":\"dns\",\"value\":\"ada.exa"
        "mple.org\"},{\"type\":\"ip\",\"value\":\"192.0.2.1\"},{\"type\":\"uri\",\"value\":\"spiffe://example.org/ada\"},"
                     "{\"type\":\"email\",\"value\":\"ada@example.org\"}],1,\"CN=ada\"]");
}

static void encryption(void **state)
{
    (void)state;
    expect_call("local k = random.bytes(16) local a, b = aes.encrypt(k, 'x'), aes.encrypt(k, 'x') return tostring(a == b) .. #a", "false29");
    expect_call("local k = random.bytes(24) for n = 0, 40 do local t = ('x'):rep(n) assert(aes.decrypt(k, aes.encrypt(k, t)) == t) end return 'all'", "all");
    expect_call("local k = random.bytes(32) local d = aes.encrypt(k, 'secret') for i = 1, #d do local c = d:sub(1, i - 1) .. string.char(d:byte(i) ~ "
        "1) .. d:sub(i + 1) "
                "assert(not aes.decrypt(k, c)) end return tostring(aes.decrypt(random.bytes(32), d))", "nil");
    expect_not_right("aes.decrypt(('k'):rep(16), '')", "was changed since");
    expect_lib_error("aes.decrypt(('k'):rep(15), '')", "16, 24 or 32 bytes expected");
    expect_lib_error("hash.hmac('sha256', 'k')", "string expected");
    expect_lib("return hash.bucket('a', 1) .. ' ' .. hash.bucket('user-17', 1000)", "0 838");
    expect_lib_error("hash.bucket('a', 0)", "at least 1 expected");
    expect_call("local ok, e = pcall(random.bytes, 65537) return e:match('0 to 65536')", "0 to 65536");
    expect_call("local seen = {} for i = 1, 100 do local u = random.uuid() assert(not seen[u]) seen[u] = true end return 'apart'", "apart");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_values),  cmocka_unit_test(json_is_strict), cmocka_unit_test(json_is_bounded), cmocka_unit_test(json_arrays),
        cmocka_unit_test(yaml_values),  cmocka_unit_test(urls),           cmocka_unit_test(addresses),       cmocka_unit_test(times),
        cmocka_unit_test(expressions),  cmocka_unit_test(templates),      cmocka_unit_test(caches),          cmocka_unit_test(certificates),
        cmocka_unit_test(encryption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
