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

void mount_add(struct vault *v, struct sld_str path, unsigned kv_version)
{
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    struct mount *m = sld_xcalloc(1, sizeof(*m) + path.n + 1);
    m->kv_version = kv_version;
    m->n = path.n;
    memcpy(m->path, path.p, path.n);
    struct sld_list *before = v->mounts.next; // a longer one counts before a shorter
    while (before != &v->mounts && SLD_CONTAINER_OF(before, struct mount, link)->n > m->n)
        before = before->next;
    sld_list_push(before, &m->link); // in front of BEFORE
}

void mounts_clear(struct vault *v)
{
    SLD_LIST_EACH (it, &v->mounts) {
        sld_list_remove(it);
        sld_xfree(SLD_CONTAINER_OF(it, struct mount, link));
    }
}
