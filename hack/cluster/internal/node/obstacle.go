//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// EgressObstacles says what else on the machine may keep pods from the outside network, and the commands that help. To the
// kernel a packet is lost when any table drops it, so accepting it in the cluster's own table does not outweigh the policy
// of another, such as Docker's.
func EgressObstacles(ctx context.Context, n layout.Network) ([]string, error) {
	chains, err := listChains(ctx)
	if err != nil {
		return nil, err
	}
	var obstacles []string
	for _, c := range dropping(chains) {
		rules, err := output(exec.CommandContext(ctx, "nft", "list", "chain", c.Family, c.Table, c.Name))
		if err != nil {
			return nil, err
		}
		if !strings.Contains(string(rules), n.Block().String()) {
			obstacles = append(obstacles, obstacle(fmt.Sprintf("chain %s of nft's table %s %s", c.Name, c.Family, c.Table),
				fmt.Sprintf("nft insert rule %s %s %s ip saddr %s accept", c.Family, c.Table, c.Name, n.Block()),
				fmt.Sprintf("nft insert rule %s %s %s ip daddr %s accept", c.Family, c.Table, c.Name, n.Block())))
		}
	}
	legacy, err := legacyObstacle(ctx, n)
	return append(obstacles, legacy...), err
}

// dropping returns the chains that drop forwarded IPv4 packets unless one of their rules accepts them.
func dropping(chains []chain) []chain {
	return slices.DeleteFunc(slices.Clone(chains), func(c chain) bool {
		return c.Hook != "forward" || c.Policy != "drop" || (c.Family != "ip" && c.Family != "inet")
	})
}

// legacyObstacle looks at the kernel's older packet filter, which nft does not show. Asking it would load it where it is
// not in use.
func legacyObstacle(ctx context.Context, n layout.Network) ([]string, error) {
	const program = "iptables-legacy"
	tables, err := os.ReadFile("/proc/net/ip_tables_names")
	if err != nil || !slices.Contains(strings.Fields(string(tables)), "filter") {
		return nil, nil //nolint:nilerr // a kernel without the file has no such filter
	}
	if _, err := exec.LookPath(program); err != nil {
		return nil, nil //nolint:nilerr // whoever filled the filter can tell more about it than we can
	}
	rules, err := output(exec.CommandContext(ctx, program, "--list-rules", "FORWARD"))
	if err != nil || !legacyDrops(string(rules), n) {
		return nil, err
	}
	return []string{obstacle("chain FORWARD of "+program,
		fmt.Sprintf("%s --insert FORWARD --source %s --jump ACCEPT", program, n.Block()),
		fmt.Sprintf("%s --insert FORWARD --destination %s --jump ACCEPT", program, n.Block()))}, nil
}

// legacyDrops says whether packets of the network are dropped unless rules that do not name it accept them.
func legacyDrops(rules string, n layout.Network) bool {
	return strings.Contains(rules, "-P FORWARD DROP") && !strings.Contains(rules, n.Block().String())
}

func obstacle(where string, remedy ...string) string {
	return fmt.Sprintf("The firewall of this machine, %s, drops forwarded packets by default. If pods get no answer from outside, run\n  %s",
		where, strings.Join(remedy, "\n  "))
}
