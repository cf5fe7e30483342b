// What people and editors are told of the library, all of it from the modules' tables.
#include "plugin/author.h"
#include "plugin/library.h"

size_t sld_library_count(void)
{
    return pl_library_count;
}

const char *sld_library_name(size_t i)
{
    return pl_module_word(pl_library[i]);
}

// NAME without the ? behind what may be left out.
static struct sld_str bare(const char *name)
{
    struct sld_str s = sld_str_c(name);
    s.n -= sld_str_ends(s, SLD_STR("?"));
    return s;
}

static size_t count(const struct pl_value *values, size_t max)
{
    size_t n = 0;
    while (n < max && values[n].name)
        n++;
    return n;
}

// When it may be called, if not always.
static const char *phases_of(const struct pl_binding *b)
{
    if (b->phases == PL_IN_CALLS)
        return " Only in hooks of requests and in tasks.";
    return b->phases == PL_IN_TASK ? " Only in tasks." : "";
}

// ---- The manual ----

// "json.decode(text, [options])", or "set:contains(address)".
static void print_call(struct sld_buf *out, const struct pl_module *m, const struct pl_binding *b)
{
    const char *object = b->of ? strchr(b->of, '.') : NULL;
    char lower[40] = "";
    for (size_t i = 0; object && object[i + 1] && i < sizeof(lower) - 1; i++)
        lower[i] = (char)(object[i + 1] >= 'A' && object[i + 1] <= 'Z' ? object[i + 1] + 'a' - 'A' : object[i + 1]);
    sld_buf_addf(out, "%s%s%s(", object ? lower : pl_module_word(m), object ? ":" : ".", b->name);
    for (size_t i = 0; i < count(b->params, PL_PARAMS_MAX); i++) {
        struct sld_str name = bare(b->params[i].name);
        bool may = name.n != strlen(b->params[i].name);
        sld_buf_addf(out, "%s%s%.*s%s", i ? ", " : "", may ? "[" : "", SLD_FMT(name), may ? "]" : "");
    }
    sld_buf_addz(out, ")");
}

// A type in a cell of a table or a list: | would end the cell.
static void print_values(struct sld_buf *out, const char *title, const struct pl_value *values, size_t n)
{
    if (n)
        sld_buf_addf(out, "%s:\n\n", title);
    for (size_t i = 0; i < n; i++) {
        struct sld_str name = bare(values[i].name);
        bool may = name.n != strlen(values[i].name);
        sld_buf_addf(out, "- `%.*s` (`%s`%s)%s%s\n", SLD_FMT(name), values[i].type, may ? ", or nil" : "", values[i].doc[0] ? ": " : "", values[i].doc);
    }
    if (n)
        sld_buf_addc(out, '\n');
}

static void print_binding(struct sld_buf *out, const struct pl_module *m, const struct pl_binding *b)
{
    sld_buf_addz(out, "### ");
    print_call(out, m, b);
    sld_buf_addf(out, "\n\n%s%s\n\n", b->doc, phases_of(b));
    print_values(out, "Takes", b->params, count(b->params, PL_PARAMS_MAX));
    print_values(out, "Gives", b->returns, count(b->returns, PL_RETURNS_MAX));
    if (b->example)
        sld_buf_addf(out, "```lua\n%s\n```\n\n", b->example);
}

static void print_module(struct sld_buf *out, const struct pl_module *m)
{
    sld_buf_addf(out, "## %s\n\n%s\n\n    local %s = require \"%s\"\n\n", m->name, m->doc, pl_module_word(m), m->name);
    for (size_t i = 0; i < m->value_count; i++)
        sld_buf_addf(out, "### %s.%s\n\n%s\n\n", pl_module_word(m), m->values[i].name, m->values[i].doc);
    for (size_t i = 0; i < m->binding_count; i++)
        print_binding(out, m, &m->bindings[i]);
    for (size_t i = 0; i < m->class_count; i++) {
        sld_buf_addf(out, "### %s\n\n%s\n\n", m->classes[i].name, m->classes[i].doc);
        print_values(out, "Has", m->classes[i].fields, m->classes[i].field_count);
    }
}

void sld_library_print_manual(struct sld_buf *out)
{
    sld_buf_addz(out, "# The library of plugins\n\n"
                      "A module is required where the plugin loads. Wrong arguments raise an error with the place in the plugin; what is wrong\n"
                      "with data from outside gives nil and words. Everything counts steps and memory of the plugin. In pure phases, which are\n"
                      "loading, checking and shaping, there is neither chance nor clock nor memory of earlier calls.\n\n");
    for (size_t i = 0; i < pl_library_count; i++)
        print_module(out, pl_library[i]);
}

// ---- Definitions for editors ----

static void print_comment(struct sld_buf *out, const char *text)
{
    if (text[0])
        sld_buf_addf(out, "---%s\n", text);
}

// A type name: classes of the library have "solder." in front.
static void print_type(struct sld_buf *out, const struct pl_module *m, const char *type)
{
    struct sld_str prefix = sld_str_c(pl_module_word(m)), rest = sld_str_c(type);
    for (size_t i = 0; i < rest.n; i++) {
        bool begins = i == 0 || strchr("|<,: (", rest.p[i - 1]);
        struct sld_str here = sld_str_sub(rest, i, rest.n);
        if (begins && sld_str_starts(here, prefix) && here.n > prefix.n && here.p[prefix.n] == '.')
            sld_buf_addz(out, "solder.");
        sld_buf_addc(out, rest.p[i]);
    }
}

static void print_fields(struct sld_buf *out, const struct pl_module *m, const struct pl_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sld_buf_addf(out, "---@field %s ", values[i].name);
        print_type(out, m, values[i].type);
        sld_buf_addf(out, "%s%s\n", values[i].doc[0] ? " " : "", values[i].doc);
    }
}

static void print_function(struct sld_buf *out, const struct pl_module *m, const struct pl_binding *b)
{
    size_t params = count(b->params, PL_PARAMS_MAX), returns = count(b->returns, PL_RETURNS_MAX);
    const char *object = b->of ? strchr(b->of, '.') + 1 : NULL;
    sld_buf_addc(out, '\n');
    print_comment(out, b->doc);
    print_comment(out, phases_of(b));
    for (size_t i = 0; i < params; i++) {
        sld_buf_addf(out, "---@param %s ", b->params[i].name);
        print_type(out, m, b->params[i].type);
        sld_buf_addf(out, "%s%s\n", b->params[i].doc[0] ? " " : "", b->params[i].doc);
    }
    for (size_t i = 0; i < returns; i++) {
        struct sld_str name = bare(b->returns[i].name);
        bool may = name.n != strlen(b->returns[i].name), whole = strcmp(b->returns[i].type, "any") == 0;
        sld_buf_addz(out, may && !whole ? "---@return (" : "---@return ");
        print_type(out, m, b->returns[i].type);
        sld_buf_addf(out, "%s %.*s%s%s\n", may && !whole ? ")|nil" : "", SLD_FMT(name), b->returns[i].doc[0] ? " # " : "", b->returns[i].doc);
    }
    sld_buf_addf(out, "function %s%s%s(", object ? object : "M", object ? ":" : ".", b->name);
    for (size_t i = 0; i < params; i++)
        sld_buf_addf(out, "%s%.*s", i ? ", " : "", SLD_FMT(bare(b->params[i].name)));
    sld_buf_addz(out, ") end\n");
}

static bool is_object(const struct pl_module *m, const struct pl_class *c)
{
    for (size_t i = 0; i < m->binding_count; i++) {
        if (m->bindings[i].of && strcmp(m->bindings[i].of, c->name) == 0)
            return true;
    }
    return false;
}

void sld_library_print_luals(struct sld_buf *out, size_t index)
{
    const struct pl_module *m = pl_library[index];
    sld_buf_addf(out, "---@meta %s\n-- Made by solder plugin doc --luals. %s\n", m->name, m->doc);
    for (size_t i = 0; i < m->class_count; i++) {
        const struct pl_class *c = &m->classes[i];
        sld_buf_addc(out, '\n');
        print_comment(out, c->doc);
        sld_buf_addf(out, "---@class solder.%s\n", c->name);
        print_fields(out, m, c->fields, c->field_count);
        if (is_object(m, c))
            sld_buf_addf(out, "local %s = {}\n", strchr(c->name, '.') + 1);
    }
    sld_buf_addf(out, "\n---@class %s\n", m->name);
    print_fields(out, m, m->values, m->value_count);
    sld_buf_addz(out, "local M = {}\n");
    for (size_t i = 0; i < m->binding_count; i++)
        print_function(out, m, &m->bindings[i]);
    sld_buf_addz(out, "\nreturn M\n");
}
