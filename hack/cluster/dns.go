//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// dnsPatience is how long the rules of Services may take to lead to a DNS server that is ready. A busy machine needs
	// some seconds.
	dnsPatience = time.Minute
	// dnsTry bounds one query. A query that went to a server that is gone is never answered.
	dnsTry  = time.Second
	dnsPort = 53
	// knownName is served in every cluster. The last dot keeps the machine's search list away from it.
	knownName = "kubernetes.default.svc.cluster.local."
)

// awaitDNS waits until the cluster's DNS answers where pods ask it. That its pod is ready says less: kube-proxy rewrites the
// rules of the Service some time later, and until then they lead to the server before it. A query from this machine goes by
// the same rules as one from a pod. One answer proves that all of them are written, since the Deployment ends the old
// server before it starts the new one.
func awaitDNS(ctx context.Context, server netip.AddrPort, want netip.Addr, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(dnsTry / 10)
	defer tick.Stop()
	var last error
	for {
		if err := askDNS(ctx, server, want); err == nil {
			return nil
		} else if ctx.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the cluster's DNS does not answer at its Service, %s: %w", server, errors.Join(last, ctx.Err()))
		}
	}
}

// askDNS sends one query from a port of its own, which no rule of an earlier connection can hold on to.
func askDNS(ctx context.Context, server netip.AddrPort, want netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, dnsTry)
	defer cancel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.String())
	}}
	addrs, err := resolver.LookupNetIP(ctx, "ip4", knownName)
	if failed, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New(failed.Err) // the rest names a DNS server of the machine, which was not asked
	}
	if err != nil {
		return err
	}
	if !slices.Contains(addrs, want) {
		return fmt.Errorf("%s is %s instead of %s", knownName, addrs, want)
	}
	return nil
}
