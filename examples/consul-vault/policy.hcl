# What Solder may do in Vault: read the secrets of Gloo's layout, let the gateway's certificate be issued.
path "secret/data/gloo/*" {
  capabilities = ["read"]
}
path "secret/metadata/gloo/*" {
  capabilities = ["read", "list"]
}
path "pki/issue/gateway" {
  capabilities = ["update"]
}
