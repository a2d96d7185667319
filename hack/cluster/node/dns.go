package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/template"
)

// runDNS serves the names of the cluster as the Corefile given by -conf says. It starts the server itself, since the
// command of CoreDNS claims global flags that other programs of this binary use.
func runDNS() {
	flags := flag.NewFlagSet("coredns", flag.ExitOnError)
	path := flags.String("conf", "Corefile", "path of the Corefile")
	_ = flags.Parse(os.Args[1:]) // ends the process on an error
	if err := serveDNS(*path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveDNS(path string) error {
	caddy.AppName, caddy.Quiet = "CoreDNS", true
	dnsserver.Quiet = true
	caddy.TrapSignals()
	caddy.RegisterCaddyfileLoader("file", caddy.LoaderFunc(func(serverType string) (caddy.Input, error) {
		contents, err := os.ReadFile(path)
		return caddy.CaddyfileInput{Contents: contents, Filepath: path, ServerTypeName: serverType}, err
	}))
	corefile, err := caddy.LoadCaddyfile("dns")
	if err != nil {
		return fmt.Errorf("read the Corefile: %w", err)
	}
	instance, err := caddy.Start(corefile)
	if err != nil {
		return fmt.Errorf("start the DNS server: %w", err)
	}
	instance.Wait()
	return nil
}
