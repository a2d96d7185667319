//go:build linux

package node

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// rules is what a machine gets that forwarded packets before.
const rules = `table ip keep3-cafe {}
delete table ip keep3-cafe
table ip keep3-cafe {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "keep3-cafe" jump outward
		oifname "keep3-cafe" jump inward
	}
	chain outward {
		ip saddr != 198.18.48.0/20 drop
		# Other local clusters are not the outside network.
		ip daddr 198.18.0.0/15 drop
		# Clouds give out the machine's own credentials here, and answer DNS.
		ip daddr 169.254.0.0/16 meta l4proto { tcp, udp } th dport != 53 drop
		accept
	}
	# A way out is no way in.
	chain inward {
		ct state established,related accept
		drop
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 198.18.48.0/20 oifname != "keep3-cafe" masquerade
	}
}
`

// rulesWhereOff has two more parts, which keep the machine from forwarding for others.
var rulesWhereOff = strings.NewReplacer(
	"jump inward\n", "jump inward\n\t\tjump forwarding_was_off\n",
	"\tchain postrouting", `	# Forwarding is on for the clusters only: the machine does not become a router for its neighbours.
	chain forwarding_was_off {
		ip saddr 198.18.0.0/15 return
		ip daddr 198.18.0.0/15 return
		drop
	}
	chain postrouting`,
).Replace(rules)

func TestRules(t *testing.T) {
	for name, test := range map[string]struct {
		wasOff bool
		want   string
	}{
		"a machine that forwarded before":    {false, rules},
		"a machine that did not forward yet": {true, rulesWhereOff},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := renderRules(network, test.wasOff)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCorefile(t *testing.T) {
	const closed = `.:53 {
    errors
    # The node has no way out, so names outside of the cluster do not exist.
    template IN ANY . {
        rcode NXDOMAIN
    }
}
`
	const open = `.:53 {
    errors
    forward . 192.0.2.53 192.0.2.54 {
        policy sequential
    }
    cache 30
}
`
	resolvers := []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("192.0.2.54")}
	for name, test := range map[string]struct {
		egress *layout.Egress
		want   string
	}{"closed": {nil, closed}, "open": {&layout.Egress{Resolvers: resolvers}, open}} {
		t.Run(name, func(t *testing.T) {
			corefile, err := render("Corefile", test.egress)
			if err != nil {
				t.Fatal(err)
			}
			inner, outer, _ := strings.Cut(string(corefile), "\n.:53")
			if diff := cmp.Diff(test.want, ".:53"+outer); diff != "" {
				t.Errorf("zone of names outside (-want +got):\n%s", diff)
			}
			if !strings.Contains(inner, "kubernetes cluster.local") {
				t.Errorf("names of the cluster are not served:\n%s", inner)
			}
		})
	}
}

func TestChainsOfAMachine(t *testing.T) {
	listing, err := os.ReadFile("testdata/chains.json")
	if err != nil {
		t.Fatal(err)
	}
	chains, err := parseChains(listing)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(ofTable("keep3-cafe", chains)); got != 4 {
		t.Errorf("the cluster's table has %d chains, want 4", got)
	}
	if got := ofTable("keep4-cafe", chains); got != nil {
		t.Errorf("a cluster without a table has chains: %v", got)
	}
	if diff := cmp.Diff([]string{"keep3-cafe"}, tablesWith(marker, chains)); diff != "" {
		t.Errorf("tables with the marker (-want +got):\n%s", diff)
	}
	want := []chain{{"ip", "filter", "FORWARD", "forward", "drop"}, {"inet", "site", "transit", "forward", "drop"}}
	if diff := cmp.Diff(want, dropping(chains)); diff != "" {
		t.Errorf("chains that drop (-want +got):\n%s", diff)
	}
	if _, err := parseChains([]byte("Error: syntax")); err == nil {
		t.Error("what is no list of chains was read without an error")
	}
}

func TestForwardingIsLeftOnForOtherClusters(t *testing.T) {
	tests := map[string]struct {
		marked []string
		want   bool
	}{
		"this is the only one":              {[]string{"keep3-cafe"}, false},
		"a firewall removed this one's":     {nil, false},
		"another one still needs it":        {[]string{"keep3-cafe", "keep4-beef"}, true},
		"another one does, ours is no more": {[]string{"keep4-beef"}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := inOthers("keep3-cafe", test.marked); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestLegacyDrops(t *testing.T) {
	tests := map[string]struct {
		rules string
		want  bool
	}{
		"accepts":                       {"-P FORWARD ACCEPT\n", false},
		"drops":                         {"-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n", true},
		"the remedy was applied before": {"-P FORWARD DROP\n-A FORWARD -s 198.18.48.0/20 -j ACCEPT\n", false},
		"another cluster was helped":    {"-P FORWARD DROP\n-A FORWARD -s 198.18.64.0/20 -j ACCEPT\n", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := legacyDrops(test.rules, network); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
