// A recent Consul agent for tests, built by packaging/consul --new: "main [OPTION...]" is what
// "consul agent [OPTION...]" is elsewhere. Everything else of Consul is asked for over HTTP.
package main

import (
	"os"

	"github.com/hashicorp/consul/command/agent"
	"github.com/hashicorp/consul/command/cli"
	mcli "github.com/mitchellh/cli"
)

func main() {
	ui := &cli.BasicUI{BasicUi: mcli.BasicUi{Writer: os.Stdout, ErrorWriter: os.Stderr}}
	os.Exit(agent.New(ui).Run(os.Args[1:]))
}
