// Package dial opens connections to providers, and to nothing else that the gateway could reach: it resolves names itself, looks at every
// address at each dial, and connects to the addresses that it looked at, so that no name can lead into the cluster or to the gateway itself.
package dial

import "net/netip"

// Reason says why an address is refused.
type Reason string

// The reasons.
const (
	// Local is an address that never leads to a service: loopback, link-local, multicast, unspecified, broadcast.
	Local Reason = "an address of this machine or its link"
	// Metadata is an address at which clouds serve credentials of machines.
	Metadata Reason = "a metadata address of a cloud"
	// Tunnel is an IPv6 address that stands for an IPv4 address by a mechanism that nobody should use today (6to4, Teredo, ISATAP, local NAT64).
	Tunnel Reason = "an address that hides another one"
	// Forbidden is one of the addresses that the Dialer was told to refuse.
	Forbidden Reason = "an address of the cluster or of Sandkeep itself"
	// Private is an address of a private network, or one that IANA keeps for a special purpose.
	Private Reason = "a private or reserved address"
)

// none is the reason of addresses that are reachable from everywhere.
const none Reason = ""

// ranges have a reason in common.
type ranges struct {
	reason   Reason
	prefixes []netip.Prefix
}

// special are the addresses that are not reachable from everywhere; the first that contains an address decides. They are those of the IANA
// registries of special-purpose addresses (RFC 6890, as of 2026) that are not globally reachable, and what clouds document of their metadata
// services: AWS (fd00:ec2::/32), Google (fd20:ce::254), Alibaba (100.100.100.200), Azure (168.63.129.16), Oracle (192.0.0.192), Scaleway.
var special = []ranges{
	{Metadata, prefixes("169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "169.254.170.2/32", "169.254.170.23/32",
		"169.254.42.42/32", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128")},
	{Local, prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
		"::/127", "fe80::/10", "ff00::/8")},
	{Tunnel, prefixes("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")},
	{Private, prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20")},
}

var (
	// global is where IANA hands out IPv6 addresses of the internet (RFC 4291, section 2.4); outside of it, everything is special.
	global = netip.MustParsePrefix("2000::/3")
	// nat64 are IPv4 addresses as clusters without IPv4 write them (RFC 6052); what counts is the address within.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// plain is the address that is meant: an IPv4 address wherever one is written as IPv6.
func plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if nat64.Contains(addr.WithZone("")) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

// classify says what is wrong with a plain address, as far as it shows in the address.
func classify(addr netip.Addr) Reason {
	if !addr.IsValid() || addr.Zone() != "" {
		return Local // a zone names an interface of this machine
	}
	for _, s := range special {
		for _, prefix := range s.prefixes {
			if prefix.Contains(addr) {
				return s.reason
			}
		}
	}
	switch {
	case addr.Is4():
		return none
	case isISATAP(addr):
		return Tunnel
	case !global.Contains(addr):
		return Private
	default:
		return none
	}
}

// isISATAP recognises the interface identifiers of RFC 5214, section 6.1, which end in an IPv4 address.
func isISATAP(addr netip.Addr) bool {
	b := addr.As16()
	return b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// unmapped is a prefix of IPv4 addresses as such, also when it was written as IPv6.
func unmapped(prefix netip.Prefix) netip.Prefix {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix
}
