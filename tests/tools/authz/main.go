// Command authz is what tests/bench/worker/run measures Solder's worker against, and with:
//
//	authz serve -address unix:/PATH [-tenants 100]
//	    An ext_authz server on grpc-go with the policy of the benchmark: it lets in what is below /public/, and whose header
//	    x-tenant is in a table.
//	authz drive -address unix:/PATH [-extension NAME=VALUE]... [-connections 2] [-streams 32] [-requests 100000]
//	    Asks a server of Envoy's Authorization service as fast as answers come, so many at once on each connection. Printed is
//	    one line of JSON: requests, wrong (other answers than "let in"), seconds, p50_us, p99_us.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serve(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "drive":
		err = drive(os.Args[2:])
	default:
		err = fmt.Errorf("say serve or drive")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "authz:", err)
		os.Exit(1)
	}
}
