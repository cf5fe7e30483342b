// Pins the modules that carry the published descriptors of the Envoy release in use; nothing is
// compiled. See ../test_envoy_descriptors.py.
module solder/tests/schema/envoydesc

go 1.19

require (
	github.com/cncf/xds/go v0.0.0-20260202195803-dba9d589def2
	github.com/envoyproxy/go-control-plane/envoy v1.40.0
	github.com/envoyproxy/protoc-gen-validate v1.3.3
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260720211330-0afa2a65878a
)
