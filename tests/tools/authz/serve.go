package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

type policy struct {
	authv3.UnimplementedAuthorizationServer
	tenants map[string]bool
}

var (
	allowed = &authv3.CheckResponse{Status: &status.Status{Code: int32(code.Code_OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}}
	denied = &authv3.CheckResponse{Status: &status.Status{Code: int32(code.Code_PERMISSION_DENIED)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden}}}}
)

// header gives the value of a header, whichever of its two forms Envoy sends.
func header(h *authv3.AttributeContext_HttpRequest, name string) string {
	if v, ok := h.Headers[name]; ok {
		return v
	}
	for _, one := range h.HeaderMap.GetHeaders() {
		if one.Key == name {
			return value(one)
		}
	}
	return ""
}

func value(v *corev3.HeaderValue) string {
	if len(v.RawValue) > 0 {
		return string(v.RawValue)
	}
	return v.Value
}

func (p *policy) Check(_ context.Context, q *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	h := q.Attributes.Request.Http
	path, _, _ := strings.Cut(h.Path, "?")
	if strings.HasPrefix(path, "/public/") || p.tenants[header(h, "x-tenant")] {
		return allowed, nil
	}
	return denied, nil
}

func listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return net.Listen("unix", path)
	}
	return net.Listen("tcp", address)
}

func serve(args []string) error {
	f := flag.NewFlagSet("serve", flag.ExitOnError)
	address := f.String("address", "", "HOST:PORT or unix:/PATH")
	tenants := f.Int("tenants", 100, "how many there are: tenant-0, ...")
	f.Parse(args)
	l, err := listen(*address)
	if err != nil {
		return err
	}
	p := &policy{tenants: map[string]bool{}}
	for i := range *tenants {
		p.tenants[fmt.Sprintf("tenant-%d", i)] = true
	}
	s := grpc.NewServer()
	authv3.RegisterAuthorizationServer(s, p)
	return s.Serve(l)
}
