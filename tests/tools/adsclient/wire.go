// Bytes: messages are taken off the wire undecoded, so that their time is that of their arrival, and of
// resources only what a client needs to know is read.
package main

import (
	"bytes"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// rawCodec sends protobuf messages and receives bytes.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (rawCodec) Name() string { return "proto" }

// monotonic is CLOCK_MONOTONIC in nanoseconds.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// Resource types in the order in which Envoy asks for them.
const (
	cds = iota
	eds
	lds
	rds
	sds
	typeCount
)

var typeNames = [typeCount]string{"cds", "eds", "lds", "rds", "sds"}

const prefix = "type.googleapis.com/envoy."

var typeURLs = [typeCount]string{
	prefix + "config.cluster.v3.Cluster",
	prefix + "config.endpoint.v3.ClusterLoadAssignment",
	prefix + "config.listener.v3.Listener",
	prefix + "config.route.v3.RouteConfiguration",
	prefix + "extensions.transport_sockets.tls.v3.Secret",
}

func typeOf(url string) int {
	for i, u := range typeURLs {
		if u == url {
			return i
		}
	}
	return -1
}

// fields calls fn for each field of an encoded message; false when it is none.
func fields(b []byte, fn func(num protowire.Number, typ protowire.Type, v uint64, b []byte)) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		var v uint64
		var body []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			body, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return false
		}
		fn(num, typ, v, body)
		b = b[n:]
	}
	return true
}

// resourceName reads field 1, which is the name in each of the types.
func resourceName(b []byte) (name string) {
	fields(b, func(num protowire.Number, typ protowire.Type, _ uint64, body []byte) {
		if num == 1 && typ == protowire.BytesType {
			name = string(body)
		}
	})
	return name
}

// child is what a resource makes the client ask for.
type child struct {
	kind int
	name string
}

// children of an encoded cluster or listener.
func children(kind int, body []byte) []child {
	switch kind {
	case cds:
		return clusterChildren(body)
	case lds:
		return walked(&listener.Listener{}, body)
	}
	return nil
}

// clusterChildren reads a cluster by hand: there may be tens of thousands of them.
func clusterChildren(body []byte) (out []child) {
	var name, service string
	var discovery uint64
	fields(body, func(num protowire.Number, _ protowire.Type, v uint64, b []byte) {
		switch num {
		case 1:
			name = string(b)
		case 2:
			discovery = v
		case 3:
			fields(b, func(num protowire.Number, _ protowire.Type, _ uint64, b []byte) {
				if num == 2 {
					service = string(b)
				}
			})
		}
	})
	if discovery == uint64(cluster.Cluster_EDS) {
		if service == "" {
			service = name
		}
		out = append(out, child{eds, service})
	}
	if bytes.Contains(body, []byte("UpstreamTlsContext")) {
		out = append(out, walked(&cluster.Cluster{}, body)...)
	}
	return out
}

func walked(m proto.Message, body []byte) (out []child) {
	if proto.Unmarshal(body, m) == nil {
		walk(m.ProtoReflect(), &out)
	}
	return out
}

// warmUp makes the protobuf runtime build its tables of the messages that are decoded, before the first
// time is taken.
func warmUp() {
	for _, m := range []proto.Message{&cluster.Cluster{}, &listener.Listener{}, &hcm.HttpConnectionManager{},
		&tlsv3.UpstreamTlsContext{}, &tlsv3.DownstreamTlsContext{}, &discovery.DeltaDiscoveryResponse{},
		&discovery.DiscoveryResponse{}} {
		_ = proto.Unmarshal(nil, m)
		walk(m.ProtoReflect(), &[]child{})
		_, _ = proto.Marshal(m)
	}
	a, _ := anypb.New(&hcm.HttpConnectionManager{RouteSpecifier: &hcm.HttpConnectionManager_Rds{
		Rds: &hcm.Rds{RouteConfigName: "x", ConfigSource: &core.ConfigSource{}}}})
	l := &listener.Listener{FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{
		ConfigType: &listener.Filter_TypedConfig{TypedConfig: a}}}}}}
	b, _ := proto.Marshal(l)
	walked(&listener.Listener{}, b)
}

// walk finds the names of secrets and route tables anywhere in a message.
func walk(m protoreflect.Message, out *[]child) {
	switch v := m.Interface().(type) {
	case *tlsv3.SdsSecretConfig:
		if v.SdsConfig != nil {
			*out = append(*out, child{sds, v.Name})
		}
		return
	case *hcm.Rds:
		*out = append(*out, child{rds, v.RouteConfigName})
		return
	case *anypb.Any:
		if inner, err := v.UnmarshalNew(); err == nil {
			walk(inner.ProtoReflect(), out)
		}
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				walk(v.List().Get(i).Message(), out)
			}
		default:
			walk(v.Message(), out)
		}
		return true
	})
}
