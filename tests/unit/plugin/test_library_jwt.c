// solder.jwt: what is accepted, and everything that must not be.
#include "plugin/library_support.h"

// RFC 7515 A.1: the key and its token, which ended in 2011.
#define A1_KEY "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define A1_TOKEN                                                                                                                           \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlf" \
    "Q.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
// RFC 7515 A.2.
#define A2_KEY                                                                                                                             \
    "{\"kty\":\"RSA\",\"kid\":\"a2\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d"  \
    "4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665" \
    "xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}"
#define A2_TOKEN                                                                                                                           \
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3h" \
    "F80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWz" \
    "O75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6L" \
    "bgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
// RFC 7515 A.3, and RFC 8037 A.2, with private parts.
#define EC_KEY                                                                                                                             \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNp" \
    "XW6pCyStikYjKIWI5a0\",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}"
#define EC_TOKEN                                                                                                                           \
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWA" \
    "fUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define ED_KEY                                                                                                                             \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"x\":\"11qYAYKxCrfVS_7TyWQHO" \
    "g7hcvPapiMlrwIaaPcHURo\"}"

#define K "local k = jwt.secret(('s'):rep(64)) "

static void tokens_of_the_standards(void **state)
{
    (void)state;
    const char *const pairs[][2] = {{"{\"kty\":\"oct\",\"k\":\"" A1_KEY "\"}", A1_TOKEN}, {A2_KEY, A2_TOKEN}, {EC_KEY, EC_TOKEN}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(pairs); i++) {
        char body[8192];
        snprintf(body, sizeof(body),
                 "local k = assert(jwt.keys('%s')) local c, h = assert(jwt.verify('%s', k, {now = 1300819379})) "
                 "assert(c.iss == 'joe' and c['http://example.com/is_root'] == true) "
                 "local x, w, code = jwt.verify('%s', k, {now = 1300819380 + 60}) assert(code == 'expired' and not w:find('joe')) return h.alg",
                 pairs[i][0], pairs[i][1], pairs[i][1]);
        static const char *const algs[] = {"HS256", "RS256", "ES256"};
        expect_lib(body, algs[i]);
    }
}

static void every_algorithm_goes_there_and_back(void **state)
{
    (void)state;
    static const char *const keys[][2] = {{EC_KEY, "ES256"}, {ED_KEY, "EdDSA"}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(keys); i++) {
        char body[4096];
        snprintf(body, sizeof(body),
                 "local k = assert(jwt.keys('%s')) local t = assert(jwt.sign({exp = time.now() + 60, n = 1 << 60}, k)) "
                 "local c, h = assert(jwt.verify(t, k)) assert(c.n == 1 << 60 and h.kid and h.typ == 'JWT') return h.alg",
                 keys[i][0]);
        expect_call(body, keys[i][1]);
    }
    expect_lib(K "local r = '' for _, a in ipairs{'HS256', 'HS384', 'HS512'} do local t = jwt.sign({exp = 10}, k, {algorithm = a}) "
                 "local c, h = assert(jwt.verify(t, k, {now = 1, algorithms = {a}})) r = r .. h.alg end return r", "HS256HS384HS512");
    expect_lib("local k = assert(jwt.keys('" ED_KEY "')) return jwt.sign({}, k) == jwt.sign({}, k)", "true");
    expect_lib_error("jwt.sign({}, assert(jwt.keys('" EC_KEY "')))", "solder.jwt.sign with ES256 cannot be called while");
}

// Tokens as attackers make them.
static void forged_tokens(void **state)
{
    (void)state;
    // No signature at all, in all spellings.
    static const char *const none[] = {"none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS1"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(none); i++) {
        char body[600];
        snprintf(body, sizeof(body),
                 K "local e = base64.encode_url local t = e('{\"alg\":\"%s\"}') .. '.' .. e('{\"iss\":\"x\",\"exp\":9999999999}') .. '.' "
                   "local c, w, code = jwt.verify(t, k, {now = 1}) return tostring(c) .. code", none[i]);
        expect_lib(body, "nilalgorithm");
    }
    expect_lib(K "local e = base64.encode_url local t = e('{}') .. '.' .. e('{}') .. '.' local c, w, code = jwt.verify(t, k, {now = 1}) return "
        "code", "algorithm");
    expect_lib(K "local e = base64.encode_url local t = e('{\"alg\":[\"HS256\"]}') .. '.' .. e('{}') .. '.' local c, w, code = jwt.verify(t, k, {now "
        "= 1}) return code",
               "algorithm");
    // The public key as the secret of an HMAC: each form in which an attacker has it.
    expect_lib("local text = '" A2_KEY "' local public = assert(jwt.keys(text)) "
               "local t = jwt.sign({iss = 'evil', exp = 9999999999}, jwt.secret(text), {kid = nil}) "
               "local c, w, code = jwt.verify(t, public, {now = 1}) return tostring(c) .. code", "nilkey");
    // A key for one algorithm is not tried with another of its kind.
    expect_lib("local both = assert(jwt.keys('{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"" A1_KEY "\"}')) "
               "local c, w, code = jwt.verify('" A1_TOKEN "', both, {now = 1}) return code", "key");
    // The allow-list narrows.
    expect_lib("local k = assert(jwt.keys('" A2_KEY "')) local c, w, code = jwt.verify('" A2_TOKEN "', k, {now = 1, algorithms = {'PS256', "
        "'ES256'}}) return code",
               "algorithm");
    expect_lib_error(K "jwt.verify('" A1_TOKEN "', k, {now = 1, algorithms = {'none'}})", "'none' is no algorithm");
    expect_lib(K "local c, w, code = jwt.verify('" A1_TOKEN "', k, {now = 1, algorithms = {}}) return code", "algorithm");
    // Extensions that must be understood are not.
    expect_lib(K "local t = jwt.sign({exp = 100}, k, {header = {crit = {'b64'}, b64 = false}}) local c, w, code = jwt.verify(t, k, {now = 1}) return "
        "code", "malformed");
    // A header does not bring its own key.
    expect_lib("local own = jwt.secret(('e'):rep(32)) " K
               "local t = jwt.sign({exp = 100}, own, {header = {jwk = {kty = 'oct', k = base64.encode_url(('e'):rep(32))}}}) "
               "local c, w, code = jwt.verify(t, k, {now = 1}) return code", "signature");
}

static void malformed_tokens(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "''", "'.'", "'..'", "'a.b'", "'a.b.c.d'", "'a.b.c.d.e'", "('x'):rep(20000)", "'e30.e30'", "'!.e30.x'",
        "base64.encode_url('[]') .. '.e30.'", "base64.encode_url('{') .. '.e30.'", "base64.encode_url('{\"alg\":\"HS256\",\"alg\":\"none\"}') .. '.e30.AAAA'",
        "'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9==.e30.x'", "'\\0.\\0.\\0'",
        "base64.encode_url(('[') :rep(3000)) .. '.e30.AAAA'",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        char body[600];
        snprintf(body, sizeof(body), K "local c, w, code = jwt.verify(%s, k, {now = 1}) return tostring(c) .. code", bad[i]);
        expect_lib(body, "nilmalformed");
    }
    // The payload is read when the signature is right, and must be an object then.
    expect_lib(K "local t = jwt.sign({exp = 100}, k) local h, p, s = t:match('^(.*)%.(.*)%.(.*)$') "
                 "local c, w, code = jwt.verify(h .. '.' .. base64.encode_url('no json') .. '.' .. s, k, {now = 1}) return code", "signature");
    // One character of each part.
    expect_lib(K "local t = jwt.sign({iss = 'x', exp = 100}, k) local n = 0 for i = 1, #t do local c = t:sub(i, i) == 'A' and 'B' or 'A' "
                 "if not jwt.verify(t:sub(1, i - 1) .. c .. t:sub(i + 1), k, {now = 1}) then n = n + 1 end end return n == #t", "true");
    expect_lib_error(K "jwt.verify(nil, k)", "string expected");
    expect_lib_error("jwt.verify('', 'secret')", "jwt.Keys expected");
    expect_lib_error(K "jwt.verify('', k, {algoritms = {}})", "there is no option 'algoritms' here");
}

static void claims(void **state)
{
    (void)state;
    static const struct {
        const char *claims, *options, *code;
    } cases[] = {
        {"exp = 100", "now = 159", "nil"},   {"exp = 100", "now = 160", "expired"}, {"exp = 100", "now = 100, leeway = 0", "expired"},
        {"exp = 100", "now = 99.5, leeway = 0", "nil"}, {"exp = 100, nbf = 50", "now = 1, leeway = 0", "early"},
        {"exp = 200, nbf = 100", "now = 40", "nil"}, {"exp = 200, nbf = 101", "now = 40", "early"}, {"exp = '100'", "now = 1", "claims"},
        {"exp = 100, nbf = true", "now = 1", "claims"}, {"exp = 1e300", "now = 1", "nil"}, {"exp = -5", "now = 60", "expired"},
        {"iss = 'a'", "now = 1", "claims"}, {"iss = 'a'", "now = 1, require = {}", "nil"}, {"iss = 'a'", "now = 1, require = {'iss', 'sub'}", "claims"},
        {"exp = 100, sub = 'u'", "now = 1, require = {'exp', 'sub'}", "nil"}, {"exp = 100", "now = 1, issuer = 'a'", "claims"},
        {"exp = 100, iss = 'a'", "now = 1, issuer = 'a'", "nil"}, {"exp = 100, iss = 'a'", "now = 1, issuer = {'b', 'a'}", "nil"},
        {"exp = 100, iss = {'a'}", "now = 1, issuer = 'b'", "claims"}, {"exp = 100, iss = 'A'", "now = 1, issuer = 'a'", "claims"},
        {"exp = 100, aud = 'a'", "now = 1, audience = 'a'", "nil"}, {"exp = 100, aud = {'x', 'a'}", "now = 1, audience = {'a', 'b'}", "nil"},
        {"exp = 100, aud = {'x'}", "now = 1, audience = 'a'", "claims"}, {"exp = 100, aud = json.array{}", "now = 1, audience = 'a'", "claims"},
        {"exp = 100, aud = {1}", "now = 1, audience = '1'", "claims"}, {"exp = 100, sub = 'u'", "now = 1, subject = 'v'", "claims"},
        {"exp = 100, iat = 10", "now = 40, leeway = 0, max_age = 31", "nil"}, {"exp = 100, iat = 10", "now = 40, leeway = 0, max_age = 30", "expired"},
        {"exp = 100", "now = 40, max_age = 30", "expired"}, {"exp = json.null", "now = 1", "claims"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char body[400];
        snprintf(body, sizeof(body), K "local c, w, code = jwt.verify(jwt.sign({%s}, k), k, {%s}) return tostring(code)", cases[i].claims, cases[i].options);
        expect_lib(body, cases[i].code);
    }
    expect_lib(K "local t = jwt.sign({exp = 100}, k, {header = {typ = 'AT+JWT'}}) assert(jwt.verify(t, k, {now = 1, type = 'at+jwt'})) "
                 "local c, w, code = jwt.verify(t, k, {now = 1, type = 'jwt'}) return code", "claims");
    expect_lib_error(K "jwt.verify(jwt.sign({exp = 1}, k), k, {now = 'x'})", "now must be a number");
    // With a clock, its time counts.
    expect_call(K "local t = jwt.sign({exp = time.now() + 100}, k) assert(jwt.verify(t, k)) time.sleep(161) local c, w, code = jwt.verify(t, k) "
        "return code", "expired");
}

static void keys_of_sets(void **state)
{
    (void)state;
    // By kid; keys without one fit every token; a token without one is tried with all that fit.
    expect_lib("local set = assert(jwt.keys('{\"keys\":[" A2_KEY "," EC_KEY ",{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"" A1_KEY "\"}]}')) "
               "assert(jwt.verify('" A2_TOKEN "', set, {now = 1})) assert(jwt.verify('" EC_TOKEN "', set, {now = 1})) "
               "assert(jwt.verify('" A1_TOKEN "', set, {now = 1})) "
               "local t = jwt.sign({exp = 100}, set, {kid = 'h'}) assert(jwt.decode(t).header.kid == 'h') "
               "return jwt.verify(t, set, {now = 1}) and 'all'", "all");
    expect_lib("local old = assert(jwt.keys('{\"kty\":\"oct\",\"kid\":\"old\",\"k\":\"" A1_KEY "\"}')) "
               "local new = assert(jwt.keys('{\"kty\":\"oct\",\"kid\":\"new\",\"k\":\"" A1_KEY "\"}')) "
               "local c, w, code = jwt.verify(jwt.sign({exp = 100}, new), old, {now = 1}) return code", "key");
    // Keys of other uses and kinds are passed over; a set without any is told.
    expect_lib("local set = assert(jwt.keys{keys = {{kty = 'X'}, {kty = 'oct', use = 'enc', k = '" A1_KEY "'}, 7, {kty = 'EC', crv = 'P-256', x = "
        "'!', y = '!'}, "
               "{kty = 'oct', k = '" A1_KEY "'}}}) return jwt.verify('" A1_TOKEN "', set, {now = 1}) and 'one'", "one");
    expect_not_right("jwt.keys{keys = {{kty = 'oct', use = 'enc', k = 'AAAA'}}}", "not for signatures");
    expect_not_right("jwt.keys{keys = {}}", "the set has no keys");
    expect_not_right("jwt.keys('{\"keys\":[{\"kty\":\"oct\",\"alg\":\"A128KW\",\"k\":\"AAAA\"}]}')", "A128KW, is not known");
    expect_not_right("jwt.keys{kty = 'oct', alg = 'HS512', k = 'AAAA'}", "not one for its alg");
    expect_not_right("jwt.keys('not a key')", "PEM form");
    expect_not_right("jwt.keys('{')", "no valid JSON");
    expect_not_right("jwt.keys{kty = 'oct', k = 'AAAA', kid = ('k'):rep(2000)}", "kid has 2000 bytes");
    expect_lib("local keys = {} for i = 1, 101 do keys[i] = {kty = 'oct', k = 'AAAA'} end local k, w = jwt.keys{keys = keys} return w", "a set of "
        "101 keys, at most 100");
    // Who may only verify does not sign.
    expect_lib_error("jwt.sign({}, assert(jwt.keys('" A2_KEY "')))", "there is no private key");
    expect_lib_error("jwt.sign({}, assert(jwt.keys{kty = 'oct', key_ops = {'verify'}, k = '" A1_KEY "'}))", "there is no private key");
    expect_lib("local k = assert(jwt.keys{kty = 'oct', key_ops = {'sign'}, k = '" A1_KEY "'}) local c, w, code = jwt.verify('" A1_TOKEN "', k, {now "
        "= 1}) return code", "key");
    // A secret that is too short for the algorithm does not verify.
    expect_lib("local k = assert(jwt.keys{kty = 'oct', k = 'AAAA'}) local c, w, code = jwt.verify('" A1_TOKEN "', k, {now = 1}) return code", "key");
    // At most 8 keys are tried.
    expect_lib("local keys = {} for i = 1, 9 do keys[i] = {kty = 'oct', k = base64.encode_url((tostring(i)):rep(32))} end "
               "local set = assert(jwt.keys{keys = keys}) local function by(i) return jwt.sign({exp = 100}, assert(jwt.keys(keys[i]))) end "
               "assert(jwt.verify(by(8), set, {now = 1})) local c, w, code = jwt.verify(by(9), set, {now = 1}) return code", "signature");
}

static void signing_says_what_is_wrong(void **state)
{
    (void)state;
    expect_lib_error(K "jwt.sign('x', k)", "table expected");
    expect_lib_error(K "jwt.sign({}, k, {algorithm = 'RS256'})", "there is no private key");
    expect_lib_error(K "jwt.sign({}, k, {algorithm = 'none'})", "'none' is no algorithm");
    expect_lib_error(K "jwt.sign({f = print}, k)", "a function has no form in JSON");
    expect_lib(K "local t, w = jwt.sign({s = '\\xff'}, k) return tostring(t) .. w:sub(1, 20)", "nila text is not UTF-8 ");
    // The header's alg is what it is signed with, whatever the option says.
    expect_lib(K "return jwt.decode(jwt.sign({}, k, {header = {alg = 'none', x = 1}})).header.alg", "HS256");
    expect_lib("return jwt.decode('x.y')", "nil");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_the_standards),
        cmocka_unit_test(every_algorithm_goes_there_and_back),
        cmocka_unit_test(forged_tokens),
        cmocka_unit_test(malformed_tokens),
        cmocka_unit_test(claims),
        cmocka_unit_test(keys_of_sets),
        cmocka_unit_test(signing_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
