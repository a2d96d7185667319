//go:build linux

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// forwardingFile says whether the machine passes on packets that are not for itself.
const forwardingFile = "/proc/sys/net/ipv4/ip_forward"

// marker is a chain in the table of every cluster that found forwarding off, or found another such cluster. The last one to
// go turns it off again.
const marker = "forwarding_was_off"

// ForwardingWasOff says whether the machine forwards packets for nobody, or for clusters only.
func ForwardingWasOff(ctx context.Context) (bool, error) {
	// A cluster that turns forwarding on leaves its marker first. To look in the other order could miss both.
	on, err := forwarding()
	if err != nil {
		return false, err
	}
	chains, err := listChains(ctx)
	return !on || len(tablesWith(marker, chains)) > 0, err
}

// OpenEgress lets the pods of a live node reach the outside network in the machine's name. To open it again changes nothing.
func OpenEgress(ctx context.Context, r layout.Record) error {
	rules, err := renderRules(r.Network, r.Egress.ForwardingWasOff)
	if err != nil {
		return err
	}
	if err := nft(ctx, rules); err != nil {
		return err
	}
	if err := setForwarding(true); err != nil {
		return err
	}
	return inNode(ctx, r.Process, "ip", "route", "replace", "default", "via", r.Network.Host().Addr().String())
}

// CloseEgress takes back what OpenEgress did, also halfway and also when the node has ended. After a restart of the machine
// there is nothing to take back, and forwarding is as others want it.
func CloseEgress(ctx context.Context, r layout.Record) error {
	if forgotten, err := r.Process.Forgotten(); forgotten || err != nil {
		return err
	}
	if r.Process.Alive() {
		if err := inNode(ctx, r.Process, "ip", "route", "flush", "exact", "default"); err != nil {
			return err
		}
	}
	chains, err := listChains(ctx)
	if err != nil {
		return err
	}
	name := r.Network.Name()
	if r.Egress.ForwardingWasOff && !inOthers(name, tablesWith(marker, chains)) {
		if err := setForwarding(false); err != nil {
			return err
		}
	}
	// Adding the table first makes deleting it succeed where there is none.
	return nft(ctx, []byte("table ip "+name+" {}\ndelete table ip "+name+"\n"))
}

// EgressWorks says whether the machine still does its part: a firewall that starts anew may have removed the rules.
func EgressWorks(ctx context.Context, n layout.Network) (bool, error) {
	on, err := forwarding()
	if err != nil {
		return false, err
	}
	chains, err := listChains(ctx)
	return on && len(ofTable(n.Name(), chains)) > 0, err
}

// renderRules makes the cluster's nft table, which is all that the machine's firewall ever has of it.
func renderRules(n layout.Network, wasOff bool) ([]byte, error) {
	return render("egress.nft", struct {
		Network layout.Network
		Others  netip.Prefix
		WasOff  bool
		Marker  string
	}{n, layout.AllNetworks, wasOff, marker})
}

func forwarding() (bool, error) {
	value, err := os.ReadFile(forwardingFile)
	return strings.TrimSpace(string(value)) == "1", err
}

func setForwarding(on bool) error {
	if is, err := forwarding(); err != nil || is == on {
		return err
	}
	value := "0"
	if on {
		value = "1"
	}
	if err := os.WriteFile(forwardingFile, []byte(value), 0); err != nil {
		return fmt.Errorf("%w: run, where it is allowed, sysctl --write net.ipv4.ip_forward=%s", err, value)
	}
	return nil
}

// chain is a chain of the machine's packet filter. Hook and policy are those of base chains.
type chain struct {
	Family, Table, Name, Hook, Policy string
}

func listChains(ctx context.Context) ([]chain, error) {
	out, err := output(exec.CommandContext(ctx, "nft", "--json", "list", "chains"))
	if err != nil {
		return nil, err
	}
	return parseChains(out)
}

// parseChains reads libnftables-json(5).
func parseChains(listing []byte) ([]chain, error) {
	var document struct {
		Objects []struct{ Chain *chain } `json:"nftables"`
	}
	if err := json.Unmarshal(listing, &document); err != nil {
		return nil, fmt.Errorf("read nft's list of chains: %w", err)
	}
	var chains []chain
	for _, o := range document.Objects {
		if o.Chain != nil {
			chains = append(chains, *o.Chain)
		}
	}
	return chains, nil
}

func ofTable(name string, chains []chain) []chain {
	var own []chain
	for _, c := range chains {
		if c.Family == "ip" && c.Table == name {
			own = append(own, c)
		}
	}
	return own
}

// tablesWith names the tables that hold a chain of the given name.
func tablesWith(name string, chains []chain) []string {
	var tables []string
	for _, c := range chains {
		if c.Family == "ip" && c.Name == name {
			tables = append(tables, c.Table)
		}
	}
	return tables
}

func inOthers(own string, tables []string) bool {
	return slices.ContainsFunc(tables, func(t string) bool { return t != own })
}

func nft(ctx context.Context, commands []byte) error {
	cmd := exec.CommandContext(ctx, "nft", "--file", "-")
	cmd.Stdin = strings.NewReader(string(commands))
	_, err := output(cmd)
	return err
}

// inNode runs a program of the machine with the node's network.
func inNode(ctx context.Context, p layout.Process, command ...string) error {
	_, err := output(exec.CommandContext(ctx, "nsenter",
		append([]string{"--target=" + strconv.Itoa(p.PID), "--net", "--"}, command...)...))
	return err
}
