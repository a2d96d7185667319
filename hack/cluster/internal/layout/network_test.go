package layout

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNetworksLieSideBySideInTheTestRange(t *testing.T) {
	earlier := make([]netip.Prefix, 0, Slots)
	for slot := range Slots {
		block := Network{Slot: slot}.Block()
		if !AllNetworks.Contains(block.Addr()) || block != block.Masked() {
			t.Errorf("slot %d is %s, which is no block inside %s", slot, block, AllNetworks)
		}
		if overlapsAny(block, earlier) {
			t.Errorf("slot %d, %s, overlaps with an earlier one", slot, block)
		}
		earlier = append(earlier, block)
	}
}

func TestPartsOfANetworkDoNotOverlap(t *testing.T) {
	n := Network{Slot: 17}
	parts := []netip.Prefix{n.Host().Masked(), n.Services(), n.Pods()}
	for i, p := range parts {
		if overlapsAny(p, parts[:i]) || !n.Block().Overlaps(p) || p != p.Masked() {
			t.Errorf("%s overlaps with another part or lies outside of %s", p, n.Block())
		}
	}
	for _, addr := range []netip.Addr{n.APIService(), n.DNSService()} {
		if !n.Services().Contains(addr) {
			t.Errorf("%s is outside of the Services, %s", addr, n.Services())
		}
	}
	if n.Host().Masked() != n.Node().Masked() {
		t.Errorf("the ends of the link, %s and %s, are not in one network", n.Host(), n.Node())
	}
	if got, want := n.Server(), "https://198.19.16.2:6443"; got != want {
		t.Errorf("server is %s, want %s", got, want)
	}
}

func TestChooseNetwork(t *testing.T) {
	const seed = "/src/sandkeep/.cluster"
	preferred, err := ChooseNetwork(seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := (preferred.Slot + 1) % Slots
	tests := map[string]struct {
		inUse []string
		slot  int
		err   error
	}{
		"a checkout keeps its addresses":             {nil, preferred.Slot, nil},
		"other networks do not matter":               {[]string{"10.0.0.0/8", "192.168.1.7/24"}, preferred.Slot, nil},
		"a default route does not matter":            {[]string{"0.0.0.0/0"}, preferred.Slot, nil},
		"a taken block is skipped":                   {[]string{preferred.Pods().String()}, next, nil},
		"an address within a block takes it":         {[]string{preferred.Host().String()}, next, nil},
		"a route to the whole range leaves no block": {[]string{"198.18.0.0/15"}, 0, ErrNoSlot},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inUse := make([]netip.Prefix, 0, len(test.inUse))
			for _, p := range test.inUse {
				inUse = append(inUse, netip.MustParsePrefix(p))
			}
			n, err := ChooseNetwork(seed, inUse)
			if n.Slot != test.slot || !errors.Is(err, test.err) {
				t.Errorf("got slot %d and error %v, want slot %d and error %v", n.Slot, err, test.slot, test.err)
			}
		})
	}
}

func TestNamesFitANetworkInterface(t *testing.T) {
	seen := map[string]bool{}
	for _, seed := range []string{"/a/.cluster", "/b/.cluster", "/a/very/long/path/to/a/checkout/.cluster"} {
		n, err := ChooseNetwork(seed, nil)
		if err != nil {
			t.Fatal(err)
		}
		n.Slot = Slots - 1
		if name := n.Name(); len(name) > 15 || seen[name] {
			t.Errorf("name %q is longer than 15 bytes or taken", name)
		}
		seen[n.Name()] = true
	}
}

func TestParseRoutes(t *testing.T) {
	const heading = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	tests := map[string]struct {
		table string
		want  []string
	}{
		"no routes": {heading, []string{}},
		"a default route and a network": {
			heading +
				"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
				"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
			[]string{"0.0.0.0/0", "192.0.2.0/24"},
		},
		"a network that is no whole number of bytes": {
			heading + "eth1\t006012C6\t026012C6\t0003\t0\t0\t0\t00F0FFFF\t0\t0\t0\n",
			[]string{"198.18.96.0/20"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			routes, err := ParseRoutes(test.table)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, 0, len(routes))
			for _, r := range routes {
				got = append(got, r.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := ParseRoutes(heading + "nonsense\n"); err == nil {
		t.Error("a line that is no route was read without an error")
	}
}
