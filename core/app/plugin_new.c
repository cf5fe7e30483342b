// solder plugin new: a plugin that works, to be changed.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/commands.h"
#include "app/plugin.h"

// "$" stands for the plugin's name.
static const char plugin_text[] =
    "-- $: adds a header to requests. Change it to what you need; solder plugin check tells what is wrong.\n"
    "local s = require \"solder.schema\"\n"
    "\n"
    "return {\n"
    "  api = 1,\n"
    "  name = \"$\",\n"
    "  version = \"0.1.0\",\n"
    "  summary = \"Adds a header to the requests of a route.\",\n"
    "\n"
    "  -- What stands below options.extensions.configs.$ of a route.\n"
    "  schema = s.record{\n"
    "    header = s.header_name{default = \"x-$\", doc = \"The header.\"},\n"
    "    value = s.string{required = true, max = 200, doc = \"What it says.\", example = \"hello\"},\n"
    "  },\n"
    "\n"
    "  -- Called for each route that is configured: edits Envoy's route (envoy.config.route.v3.Route).\n"
    "  shape_route = function(conf, route)\n"
    "    table.insert(route.request_headers_to_add, {header = {key = conf.header, value = conf.value}})\n"
    "  end,\n"
    "} --[[@as solder.Plugin]]\n";

static const char spec_text[] =
    "-- Run by solder plugin test.\n"
    "local t = require \"solder.test\"\n"
    "\n"
    "local function shop(conf)\n"
    "  return [[\n"
    "apiVersion: gateway.solo.io/v1\n"
    "kind: VirtualService\n"
    "metadata: {name: shop, namespace: gloo-system}\n"
    "spec:\n"
    "  virtualHost:\n"
    "    domains: [\"*\"]\n"
    "    routes:\n"
    "    - matchers: [{prefix: /}]\n"
    "      directResponseAction: {status: 200}\n"
    "      options:\n"
    "        extensions:\n"
    "          configs:\n"
    "            $: ]] .. conf\n"
    "end\n"
    "\n"
    "t.describe(\"$\", function()\n"
    "  t.it(\"adds its header\", function()\n"
    "    t.expect_xds(shop \"{value: hello}\", \"rds\", {\n"
    "      virtual_hosts = {{routes = {{request_headers_to_add = {{header = {key = \"x-$\", value = \"hello\"}}}}}}},\n"
    "    })\n"
    "  end)\n"
    "\n"
    "  t.it(\"wants a value\", function()\n"
    "    t.expect_finding(shop \"{}\", \"$.value: value must be set\")\n"
    "  end)\n"
    "end)\n";

static const char readme_text[] =
    "# $\n"
    "\n"
    "Adds a header to the requests of a route. `solder plugin doc` prints its manual.\n"
    "\n"
    "    solder plugin check        # what is wrong with it\n"
    "    solder plugin test         # runs spec/*_spec.lua\n"
    "    solder plugin run . DIR    # what it changes for Envoy, with the documents in DIR\n"
    "    solder run --plugins ..    # serves with it; edits are taken over while it runs\n"
    "\n"
    "Turn it on at a route:\n"
    "\n"
    "    options:\n"
    "      extensions:\n"
    "        configs:\n"
    "          $: {value: hello}\n";

// For editors with LuaLS: what require finds.
static const char luarc_text[] =
    "{\n"
    "  \"runtime.version\": \"Lua 5.4\",\n"
    "  \"workspace.library\": [\".luals\"]\n"
    "}\n";

static bool write_file(const char *path, const char *text, struct sld_str name)
{
    FILE *f = fopen(path, "wx");
    if (!f) {
        fprintf(stderr, "solder plugin new: %s: %s\n", path, strerror(errno));
        return false;
    }
    for (; *text; text++) {
        if (*text == '$')
            fwrite(name.p, 1, name.n, f);
        else
            fputc(*text, f);
    }
    bool ok = !ferror(f);
    if (fclose(f) || !ok) {
        fprintf(stderr, "solder plugin new: %s cannot be written\n", path);
        return false;
    }
    return true;
}

static int run(struct sld_args *args)
{
    struct sld_str path = sld_str_c(args->pos[0]), rest, name;
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    for (rest = path; sld_str_cut(&rest, '/', &name);)
        ;
    if (!sld_plugin_name_ok(name))
        return sld_usage("a plugin's name is made of a-z, 0-9 and -, a letter first, at most 63; not %.*s", SLD_FMT(name));
    struct sld_arena a = {0};
    const struct {
        const char *file, *text;
    } files[] = {{"plugin.lua", plugin_text}, {"README.md", readme_text}, {"spec/plugin_spec.lua", spec_text}, {".luarc.json", luarc_text}};
    int code = SLD_EXIT_OK;
    const char *folder = sld_arena_cstr(&a, path), *specs = sld_arena_fmt(&a, "%s/spec", folder).p;
    if (mkdir(folder, 0777) || mkdir(specs, 0777)) {
        bool there = errno == EEXIST;
        fprintf(stderr, "solder plugin new: %s: %s\n", folder,
                there ? "it is there already, and stays as it is; take another name" : strerror(errno));
        code = SLD_EXIT_FINDINGS;
    }
    for (size_t i = 0; i < SLD_ARRAY_LEN(files) && !code; i++) {
        const char *file = sld_arena_fmt(&a, "%s/%s", folder, files[i].file).p;
        if (write_file(file, files[i].text, name))
            printf("%s\n", file);
        else
            code = SLD_EXIT_FINDINGS;
    }
    if (!code)
        code = sld_plugin_cli_luals(sld_arena_fmt(&a, "%s/.luals", folder).p, false);
    sld_arena_fini(&a);
    return code;
}

const struct sld_command sld_cmd_plugin_new = {
    .name = "plugin new",
    .args = "NAME",
    .help = "Makes a folder with a plugin that works, its README and its spec.",
    .more = "NAME may be a path; its last part is the plugin's name. What is there already stays as it is.\n"
            "Beside them are definitions of solder.* for editors with LuaLS (.luarc.json, .luals); solder plugin doc --luals writes them\n"
            "anew. Prints the files. Exit code 0: made; 1: not; 2: not a name.",
    .min_pos = 1,
    .max_pos = 1,
    .run = run,
};
