// Which of the wanted secrets changed: one listing for a folder where Vault lists versions, else
// one question for each, else they are read.
#include "secret/vault/inside.h"

enum { LIST_FROM = 3 }; // fewer secrets of a folder are asked for one by one

static struct sld_str folder_of(const struct unit *u)
{
    size_t n = u->path.n;
    while (n && u->path.p[n - 1] != '/')
        n--;
    return sld_str_sub(u->path, 0, n ? n - 1 : 0);
}

static void folder_free(struct folder *f)
{
    vault_call_cancel(f->call);
    SLD_LIST_EACH (it, &f->units)
        sld_list_remove(it);
    sld_list_remove(&f->link);
    sld_xfree(f);
}

// Lets each unit of F be asked for by itself; from now on when FOREVER.
static void one_by_one(struct folder *f, bool forever)
{
    SLD_LIST_EACH (it, &f->units) {
        struct unit *u = SLD_CONTAINER_OF(it, struct unit, in_folder);
        u->no_list |= forever;
        vault_queue(u, true);
    }
}

// INFO is what Vault says of each secret of F; NULL: there are none.
static void compare(struct folder *f, const struct sld_node *info)
{
    struct sld_map by_name = {0};
    for (size_t i = 0; info && i < info->count; i++)
        sld_map_set(&by_name, info->pairs[i].key->text, info->pairs[i].value);
    SLD_LIST_EACH (it, &f->units) {
        struct unit *u = SLD_CONTAINER_OF(it, struct unit, in_folder);
        struct sld_str name = sld_str_sub(u->path, f->n + 1, u->path.n);
        const struct sld_node *about = sld_map_get(&by_name, name);
        struct sld_str number = vault_text(about, "current_version");
        unit_seen(u, number, sld_node_get(sld_node_get(about, SLD_STR("versions")), number));
    }
    sld_map_fini(&by_name);
}

// An answer that says nothing: of F alone, perhaps, which its secrets will show; else F stays, and is
// listed again after the pause.
static void nothing_heard(struct folder *f, const struct vault_answer *a)
{
    struct vault *v = f->v;
    bool others = v->heard_ns > f->asked_ns; // were answered meanwhile
    if (!vault_own_fault(a, &f->unheard)) {
        vault_heard(v, a);
        return;
    }
    one_by_one(f, !a->status && others);
    folder_free(f);
}

static void on_list(const struct vault_answer *in, void *user)
{
    struct folder *f = user;
    struct vault *v = f->v;
    const struct sld_node *info = sld_node_get(in->data, SLD_STR("key_info"));
    // A folder without keys is missing, so an empty listing shows nothing.
    const struct vault_answer got =
        vault_expect(in, info && info->type == SLD_NODE_MAP && info->count > 0);
    const struct vault_answer *a = &got;
    f->call = NULL;
    vault_kick(v);
    if (a->verdict == VAULT_DOWN) {
        nothing_heard(f, a);
        return;
    }
    vault_heard(v, a);
    if (a->verdict == VAULT_OK || a->verdict == VAULT_MISSING) {
        vault_proved(v, a);
        compare(f, a->verdict == VAULT_OK ? info : NULL);
    } else {
        struct mount *m = mount_find(v, (struct sld_str){f->path, f->n});
        if (m && (a->verdict == VAULT_NO_ROUTE || a->verdict == VAULT_REFUSED))
            m->no_list = true; // it knows no such thing
        one_by_one(f, a->generation == v->generation);
    }
    folder_free(f);
}

void folder_go(struct folder *f)
{
    struct sld_arena a = {0};
    struct sld_str path = {f->path, f->n};
    const struct vault_request rq = {
        .path = SLD_ARENA_JOIN(&a, sld_str_sub(path, 0, f->mount_n), SLD_STR("/detailed-metadata"),
                               sld_str_sub(path, f->mount_n, path.n)),
        .query = SLD_STR("list=true"),
        .max_body_bytes = VAULT_LIST_MAX_BYTES,
    };
    f->asked_ns = sld_mono_ns();
    f->call = vault_ask(f->v, &rq, on_list, f);
    sld_arena_fini(&a);
}

static struct folder *add_folder(struct vault *v, struct sld_str path, size_t mount_n)
{
    struct folder *f = sld_xcalloc(1, sizeof(*f) + path.n + 1);
    f->v = v;
    f->mount_n = mount_n;
    f->n = path.n;
    memcpy(f->path, path.p, path.n);
    sld_list_init(&f->units);
    sld_list_push(&v->folders, &f->link);
    return f;
}

// What is read as a whole: not of an engine with versions, or in trouble anyway.
static bool has_to_be_read(const struct unit *u, const struct mount *m)
{
    return !m || m->kv_version != 2 || u->by_data || !u->answered || u->problem[0];
}

static bool looks_after_itself(const struct unit *u)
{
    return u->forget_ns || u->kind == UNIT_CERTIFICATE || (u->leased && u->due_ns);
}

// What is asked about U in a sweep.
enum asking { NOTHING, READING, CHECKING, LISTING };

static enum asking asking(const struct unit *u, const struct mount *m)
{
    if (looks_after_itself(u))
        return NOTHING;
    if (has_to_be_read(u, m))
        return READING;
    return m->no_list || u->no_list ? CHECKING : LISTING;
}

// Units by folder, so that those of a small one are asked for one by one.
static void count(struct vault *v, struct sld_map *counts)
{
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        if (asking(u, mount_find(v, u->path)) != LISTING)
            continue;
        struct sld_str path = folder_of(u);
        uintptr_t n = (uintptr_t)sld_map_get(counts, path) + 1;
        sld_map_set(counts, path, (void *)n); // a number, not an address
    }
}

// U is to be listed with its folder, if that holds enough of them.
static void list_or_check(struct vault *v, struct unit *u, size_t mount_n, struct sld_map *counts,
                          struct sld_map *folders)
{
    struct sld_str path = folder_of(u);
    if ((uintptr_t)sld_map_get(counts, path) < LIST_FROM) {
        vault_queue(u, true);
        return;
    }
    struct folder *f = sld_map_get(folders, path);
    if (!f)
        sld_map_set(folders, path, f = add_folder(v, path, mount_n));
    sld_list_push(&f->units, &u->in_folder);
}

void sweep_start(struct vault *v)
{
    struct sld_map counts = {0}, folders = {0};
    size_t at = 0;
    v->sweeping = true;
    v->sync_due = true;
    count(v, &counts);
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        struct mount *m = mount_find(v, u->path);
        enum asking what = asking(u, m);
        if (what == LISTING)
            list_or_check(v, u, m->n, &counts, &folders);
        else if (what != NOTHING)
            vault_queue(u, what == CHECKING);
    }
    sld_map_fini(&counts);
    sld_map_fini(&folders);
}

void sweep_stop(struct vault *v)
{
    SLD_LIST_EACH (it, &v->folders)
        folder_free(SLD_CONTAINER_OF(it, struct folder, link));
    v->sweeping = false;
}
