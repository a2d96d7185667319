//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// InUse lists the networks that the machine has addresses in or routes to.
func InUse() ([]netip.Prefix, error) {
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	used, err := layout.ParseRoutes(string(table))
	if err != nil {
		return nil, err
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			used = append(used, p)
		}
	}
	return used, nil
}

// JoinLink connects the machine to the node that is process pid. The link and its routes vanish with the node.
func JoinLink(ctx context.Context, n layout.Network, pid int) error {
	name := n.Name()
	return ip(ctx,
		"link add "+name+" type veth peer name eth0 netns "+strconv.Itoa(pid),
		"addr add "+n.Host().String()+" dev "+name,
		"link set "+name+" up",
		fmt.Sprintf("route add %s via %s", n.Pods(), n.Node().Addr()),
		fmt.Sprintf("route add %s via %s", n.Services(), n.Node().Addr()),
	)
}

// RemoveLink takes the link away at once; when the node ends the kernel does so by itself, some time later.
func RemoveLink(ctx context.Context, n layout.Network) error {
	if _, err := net.InterfaceByName(n.Name()); err != nil {
		return nil //nolint:nilerr // there is no such link, which is what was asked for
	}
	return ip(ctx, "link delete "+n.Name())
}

// raiseLink is the node's side of the link. There is no default route unless OpenEgress adds one: the node reaches the
// machine and itself, and for all else pods learn at once that there is no way, for which the kernel must not ration its
// answers.
func raiseLink(ctx context.Context, n layout.Network) error {
	for name, value := range map[string]string{"ip_forward": "1", "icmp_ratelimit": "0"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("set up the node's network: %w", err)
		}
	}
	return ip(ctx, "link set lo up", "addr add "+n.Node().String()+" dev eth0", "link set eth0 up")
}

func ip(ctx context.Context, commands ...string) error {
	for _, c := range commands {
		if _, err := output(exec.CommandContext(ctx, "ip", strings.Fields(c)...)); err != nil {
			return err
		}
	}
	return nil
}

// output runs a program and returns what it says, or an error that says why it failed.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), errors.Join(err, errors.New(strings.TrimSpace(stderr.String()))))
	}
	return stdout.Bytes(), nil
}
