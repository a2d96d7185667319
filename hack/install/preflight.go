package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Oldest is the oldest Kubernetes that Sandkeep runs on, as 1.minor.
const Oldest = 33

// stamping is the first Kubernetes with MutatingAdmissionPolicy in version v1, as 1.minor: it puts the owner into a Session.
const stamping = 36

// Severity is how much a finding matters.
type Severity int

// The severities, the worst first.
const (
	// Blocks makes an installation fail.
	Blocks Severity = iota
	// Limits makes a feature fail.
	Limits
	// Note is worth knowing, such as what nobody can find out from outside.
	Note
)

func (s Severity) String() string {
	return [...]string{"blocks", "limits", "note"}[s]
}

// Finding is something that a cluster lacks, or that its admin should know.
type Finding struct {
	Severity Severity
	// Text says what it is, what it affects, and what to do about it.
	Text string
}

// Facts are what can be seen of a cluster. Judge reads nothing else.
type Facts struct {
	// Version is the server's own, such as v1.36.3; Minor is its second number.
	Version string
	Minor   int
	// Denied are the requests of an installation that the current user may not make, such as "create clusterroles".
	Denied []string
	// DefaultStorageClass is the name of the default StorageClass, or empty.
	DefaultStorageClass string
	// Platforms are the operating systems and architectures of the nodes that are ready, such as linux/amd64.
	Platforms []string
	// NetworkPlugin is the network plugin that was recognised, or empty.
	NetworkPlugin string
	// Policies are the policy engines that were recognised.
	Policies []string
	// Enforcing are the namespaces that enforce a level of Pod Security other than privileged, but Sandkeep's own.
	Enforcing []string
}

// platform is what the images are built for.
const platform = "linux/amd64"

// enforcing are the network plugins that are known to enforce NetworkPolicy, by the names of their DaemonSets.
var enforcing = []string{"antrea", "calico", "cilium", "kube-router", "weave"}

// Judge says what a cluster lacks, the worst first.
func Judge(f Facts) []Finding {
	var findings []Finding
	for _, check := range []func(Facts) *Finding{oldVersion, missingRights, noPlatform, noStorage, noStamp, noNetworkPolicy, policyEngine, podSecurity} {
		if finding := check(f); finding != nil {
			findings = append(findings, *finding)
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(a.Severity, b.Severity) })
	return findings
}

func oldVersion(f Facts) *Finding {
	if f.Minor >= Oldest {
		return nil
	}
	return &Finding{Blocks, fmt.Sprintf("Kubernetes %s is too old: Sandkeep needs 1.%d or newer, for the rules in its definitions; upgrade the cluster", f.Version, Oldest)}
}

func missingRights(f Facts) *Finding {
	if len(f.Denied) == 0 {
		return nil
	}
	return &Finding{Blocks, fmt.Sprintf("You may not %s; ask an admin of the cluster for these rights, or to install for you: make dist writes one file for that",
		strings.Join(f.Denied, ", "))}
}

func noPlatform(f Facts) *Finding {
	if slices.Contains(f.Platforms, platform) {
		return nil
	}
	have := "no node is ready"
	if len(f.Platforms) > 0 {
		have = "the nodes are " + strings.Join(f.Platforms, ", ")
	}
	return &Finding{Blocks, fmt.Sprintf("The images are built for %s, and %s; add such a node", platform, have)}
}

func noStorage(f Facts) *Finding {
	if f.DefaultStorageClass != "" {
		return nil
	}
	return &Finding{Limits, "There is no default StorageClass: Sessions with spec.workspace wait for a volume for ever, unless they or their class name a storageClassName. " +
		"Sessions without spec.workspace run, and lose unpushed work with their pod"}
}

func noStamp(f Facts) *Finding {
	if f.Minor < Oldest || f.Minor >= stamping {
		return nil
	}
	return &Finding{Limits, fmt.Sprintf("Kubernetes %s puts no owner into a Session, as it does from 1.%d: a Session without spec.owner is refused. "+
		"Write spec.owner.username and spec.owner.groups into each, config/samples included; `kubectl auth whoami` says yours", f.Version, stamping)}
}

func noNetworkPolicy(f Facts) *Finding {
	if slices.Contains(enforcing, f.NetworkPlugin) {
		return nil
	}
	plugin := "no network plugin was recognised"
	if f.NetworkPlugin != "" {
		plugin = fmt.Sprintf("%s enforces none by itself", f.NetworkPlugin)
	}
	return &Finding{Note, fmt.Sprintf("Nobody can tell from outside whether NetworkPolicy is enforced (%s): until it is, a sandbox reaches whatever a pod of its namespace reaches", plugin)}
}

func policyEngine(f Facts) *Finding {
	if len(f.Policies) == 0 {
		return nil
	}
	return &Finding{Note, fmt.Sprintf("%s may refuse or change pods: sandboxes meet the Restricted Pod Security Standard; a Session whose pod is refused says so with PodRejected",
		strings.Join(f.Policies, " and "))}
}

func podSecurity(f Facts) *Finding {
	if len(f.Enforcing) == 0 {
		return nil
	}
	return &Finding{Note, fmt.Sprintf("Pod Security is enforced in %s: sandboxes of the shipped classes meet every level, a class of your own that asks for more is refused there with PodRejected",
		some(f.Enforcing))}
}

// some names a few of many.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more namespaces", strings.Join(names[:few], ", "), len(names)-few)
}

// errBlocked says that an installation would fail.
var errBlocked = errors.New("the cluster lacks what an installation needs; see above")

// Preflight looks at a cluster and tells what it lacks. It fails when an installation would.
func Preflight(ctx context.Context, config *rest.Config, detail io.Writer) error {
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	facts, err := look(ctx, clientset)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(detail, "Kubernetes %s, nodes %s, default StorageClass %s, network plugin %s\n", facts.Version,
		strings.Join(facts.Platforms, ", "), cmp.Or(facts.DefaultStorageClass, "none"), cmp.Or(facts.NetworkPlugin, "not recognised"))
	findings := Judge(facts)
	for _, f := range findings {
		_, _ = fmt.Fprintf(detail, "%-8s %s\n", f.Severity, f.Text)
	}
	if len(findings) == 0 {
		_, _ = fmt.Fprintln(detail, "It has everything that Sandkeep needs")
	}
	if len(findings) > 0 && findings[0].Severity == Blocks {
		return errBlocked
	}
	return nil
}
