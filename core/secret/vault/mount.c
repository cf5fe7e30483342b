// Which engine holds a path; Vault tells once per engine.
#include "secret/vault/inside.h"

struct mount *mount_find(const struct vault *v, struct sld_str path)
{
    SLD_LIST_EACH (it, &v->mounts) {
        struct mount *m = SLD_CONTAINER_OF(it, struct mount, link);
        if (path.n > m->n && path.p[m->n] == '/' && memcmp(path.p, m->path, m->n) == 0)
            return m;
    }
    return NULL;
}

struct mount *mount_set(struct vault *v, struct sld_str path, unsigned kv_version, bool by_vault)
{
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    struct mount *m = NULL;
    SLD_LIST_EACH (it, &v->mounts) {
        struct mount *other = SLD_CONTAINER_OF(it, struct mount, link);
        if (sld_str_eq((struct sld_str){other->path, other->n}, path))
            m = other;
    }
    if (!m) {
        m = sld_xcalloc(1, sizeof(*m) + path.n + 1);
        m->n = path.n;
        memcpy(m->path, path.p, path.n);
        struct sld_list *before = v->mounts.next; // a longer one counts before a shorter
        while (before != &v->mounts && SLD_CONTAINER_OF(before, struct mount, link)->n > m->n)
            before = before->next;
        sld_list_push(before, &m->link); // in front of BEFORE
    }
    m->kv_version = kv_version;
    m->no_list = false;
    m->asked_ns = by_vault ? sld_mono_ns() : 0;
    return m;
}

void mount_remove(struct mount *m)
{
    sld_list_remove(&m->link);
    sld_xfree(m);
}

void mounts_relearn(struct vault *v)
{
    SLD_LIST_EACH (it, &v->mounts)
        SLD_CONTAINER_OF(it, struct mount, link)->no_list = false;
}

void mounts_clear(struct vault *v)
{
    SLD_LIST_EACH (it, &v->mounts)
        mount_remove(SLD_CONTAINER_OF(it, struct mount, link));
}
