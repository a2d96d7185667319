package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// resolverFiles name the machine's DNS servers, see resolv.conf(5). Where the first one names a service that answers on the
// loopback address, as systemd-resolved and NetworkManager's dnsmasq do, the others hold the servers that it asks itself.
var resolverFiles = []string{
	"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf",
}

// maxResolvers is how many servers the C library uses of the file.
const maxResolvers = 3

// Resolvers lists DNS servers of the machine that pods can ask, too.
func Resolvers() ([]netip.Addr, error) { return chooseResolvers(os.ReadFile) }

func chooseResolvers(read func(path string) ([]byte, error)) ([]netip.Addr, error) {
	for _, path := range resolverFiles {
		content, err := read(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for DNS servers: %w", err)
		}
		if usable := reachableServers(string(content)); len(usable) > 0 {
			return usable, nil
		}
	}
	return nil, fmt.Errorf("%s names no DNS server that pods can reach, which takes an IPv4 address that is no loopback address, "+
		"and none of %s does: add a line \"nameserver <address>\" with a server of your network, or of your provider, to %[1]s",
		resolverFiles[0], strings.Join(resolverFiles[1:], ", "))
}

// reachableServers leaves out loopback addresses, which mean the pod itself to a pod, and IPv6, which pods do not speak.
func reachableServers(resolvConf string) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(fields[1])
		if err != nil || !a.Is4() || a.IsLoopback() || a.IsUnspecified() || slices.Contains(servers, a) {
			continue
		}
		servers = append(servers, a)
	}
	return servers[:min(len(servers), maxResolvers)]
}
