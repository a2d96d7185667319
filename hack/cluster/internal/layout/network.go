package layout

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
)

// Slots is how many clusters fit on one machine side by side.
const Slots = 32

// AllNetworks holds the blocks of every cluster. It is set aside for tests of network devices (RFC 2544), so it is rarely in
// use.
var AllNetworks = netip.MustParsePrefix("198.18.0.0/15")

// Network is one of the address blocks of size /20 that a cluster can have:
//
//	.0.0/30  between the machine (.1) and the node (.2)
//	.1.0/24  Services
//	.8.0/21  pods
type Network struct {
	// Slot is the number of the block.
	Slot int `json:"slot"`
	// Tag tells clusters of one machine apart that had the same block at different times.
	Tag string `json:"tag"`
}

// ErrNoSlot says that every block overlaps with an address or route of the machine.
var ErrNoSlot = fmt.Errorf("none of the %d address blocks in %s is free on this machine", Slots, AllNetworks)

// ChooseNetwork returns the first network that overlaps with nothing in use. It begins at a slot derived from the seed, so
// that a checkout keeps its addresses.
func ChooseNetwork(seed string, inUse []netip.Prefix) (Network, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(seed)) // a hash never fails
	for i := range Slots {
		n := Network{Slot: int((h.Sum32() + uint32(i)) % Slots), Tag: fmt.Sprintf("%08x", h.Sum32())}
		if !overlapsAny(n.Block(), inUse) {
			return n, nil
		}
	}
	return Network{}, ErrNoSlot
}

func overlapsAny(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		// A default route overlaps with everything and says nothing.
		if o.Bits() > 0 && o.Overlaps(p) {
			return true
		}
	}
	return false
}

// at returns the address with the given third and fourth byte, counted from the start of the block.
func (n Network) at(third, fourth int) netip.Addr {
	offset, base := n.Slot*16, AllNetworks.Addr().As4()
	return netip.AddrFrom4([4]byte{base[0], base[1] + byte(offset/256), byte(offset%256 + third), byte(fourth)})
}

// Block holds every address of the cluster.
func (n Network) Block() netip.Prefix { return netip.PrefixFrom(n.at(0, 0), 20) }

// Host is the machine's end of the link to the node.
func (n Network) Host() netip.Prefix { return netip.PrefixFrom(n.at(0, 1), 30) }

// Node is the node's end of the link.
func (n Network) Node() netip.Prefix { return netip.PrefixFrom(n.at(0, 2), 30) }

// Services is the range of ClusterIPs.
func (n Network) Services() netip.Prefix { return netip.PrefixFrom(n.at(1, 0), 24) }

// Pods is the range of pod addresses.
func (n Network) Pods() netip.Prefix { return netip.PrefixFrom(n.at(8, 0), 21) }

// APIService is the ClusterIP of the kubernetes Service, which the API server takes for itself.
func (n Network) APIService() netip.Addr { return n.at(1, 1) }

// DNSService is the ClusterIP of the DNS server.
func (n Network) DNSService() netip.Addr { return n.at(1, 10) }

// Server is the URL of the API server, from the machine and from the node alike.
func (n Network) Server() string { return fmt.Sprintf("https://%s:6443", n.Node().Addr()) }

// Name is unique among the clusters of a machine. The network interface is called so, which allows 15 bytes, and the
// cgroups are.
func (n Network) Name() string { return fmt.Sprintf("keep%d-%s", n.Slot, n.Tag) }

// ParseRoutes reads the destinations out of /proc/net/route.
func ParseRoutes(table string) ([]netip.Prefix, error) {
	var routes []netip.Prefix
	var failures []error
	for line := range lines(table) {
		var iface string
		var dest, gateway, mask uint32
		var flags, refs, use, metric int
		_, err := fmt.Sscanf(line, "%s %X %X %X %d %d %d %X", &iface, &dest, &gateway, &flags, &refs, &use, &metric, &mask)
		if err != nil {
			failures = append(failures, fmt.Errorf("route %q: %w", line, err))
			continue
		}
		routes = append(routes, prefixOf(dest, mask))
	}
	return routes, errors.Join(failures...)
}
