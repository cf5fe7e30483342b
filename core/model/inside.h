// Inside model: the flat form of documents.
#pragma once

#include "model/model.h"

// Which form a document of a Secret has.
enum secret_form {
    SECRET_FLAT,    // Gloo's own, or no Secret at all
    SECRET_KUBE,    // of Kubernetes, and claimed by one of Gloo's readers
    SECRET_IGNORED, // of Kubernetes, of a type that Gloo does not read
};

// The form of ROOT, a document of kind Secret (or without a kind, below secrets/).
enum secret_form secret_form(const struct sld_node *root);
// Adds the fields of Secret that the Kubernetes secret ROOT gives to FLAT (gloo-compat 2.6).
void secret_flatten(struct sld_arena *a, const struct sld_node *root, struct sld_node *flat,
                    struct sld_report *r);

// The flat form of the document of ID: "metadata" completed from ID, the fields of the spec, nothing
// else. Nodes keep their places. What does not fit is a finding on R.
struct sld_node *doc_flatten(struct sld_arena *a, struct sld_ident id, const struct sld_node *root,
                             struct sld_report *r);
// Appends KEY (its node shared) and VALUE to mapping MAP, which was made by sld_node_map and has no
// such key.
void doc_add(struct sld_arena *a, struct sld_node *map, struct sld_node *key,
             struct sld_node *value);

// True for "List" and the lists of kinds we read ("VirtualServiceList").
bool doc_is_list_kind(struct sld_str kind);
