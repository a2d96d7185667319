package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// tell sums up what became of the Session.
func (d *demo) tell(ctx context.Context, s *v1alpha1.Session) error {
	var out bytes.Buffer
	chapters := []struct {
		title string
		write func(context.Context, io.Writer, *v1alpha1.Session) error
	}{
		{"Conditions", writeConditions},
		{"Who paid", d.writePayer},
		{"What the agent says", writeSummary},
		{"What it used", d.writeUsage},
		{"What it pushed", d.writeDiff},
		{"Try next", d.writeHints},
		{"And the key", d.writeSearch},
	}
	for _, chapter := range chapters {
		fmt.Fprintf(&out, "\n%s\n", chapter.title)
		var text bytes.Buffer
		if err := chapter.write(ctx, &text, s); err != nil {
			return err
		}
		for line := range strings.Lines(text.String()) {
			out.WriteString("  " + line)
		}
	}
	d.progress.Printf("%s", out.String())
	return nil
}

// verdict is an error unless the Session has succeeded.
func (d *demo) verdict(s *v1alpha1.Session) error {
	if meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionSucceeded) {
		return nil
	}
	return errors.New("the Session did not succeed; its conditions above say why")
}

func writeConditions(_ context.Context, out io.Writer, s *v1alpha1.Session) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TYPE\tSTATUS\tREASON\tMESSAGE") // Flush returns the error
	for _, c := range sorted(s.Status.Conditions) {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return table.Flush()
}

// sorted puts Ready first, as the sum of the others.
func sorted(conditions []metav1.Condition) []metav1.Condition {
	list := slices.Clone(conditions)
	slices.SortFunc(list, func(a, b metav1.Condition) int {
		if (a.Type == v1alpha1.ConditionReady) != (b.Type == v1alpha1.ConditionReady) {
			if a.Type == v1alpha1.ConditionReady {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Type, b.Type)
	})
	return list
}

// writePayer compares the credential that the Session names with the key that the provider saw.
func (d *demo) writePayer(ctx context.Context, out io.Writer, s *v1alpha1.Session) error {
	for _, c := range s.Status.Credentials {
		_, _ = fmt.Fprintf(out, "%s %s for provider %s (%s/%s, delivered by %s)\n", c.Ref.Kind, c.Ref.Name, c.Provider, c.Source, c.Method, c.Delivery)
	}
	given := provider.Fingerprint(d.payer.key)
	_, _ = fmt.Fprintf(out, "key in the Secret:         %s (the first digits of its SHA-256)\n", given)
	if d.payer.real {
		return nil
	}
	seen, err := d.seen(ctx)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "key seen by the provider:  %s in header %s\n", given, seen.Header)
	return nil
}

// writeSearch tells what a search of the sandbox has found.
func (d *demo) writeSearch(_ context.Context, out io.Writer, _ *v1alpha1.Session) error {
	_, _ = fmt.Fprintf(out, "key seen by the agent: %s\n", d.search)
	return nil
}

// seen is what the scripted provider has counted for the key of this demo.
func (d *demo) seen(ctx context.Context) (provider.KeyStats, error) {
	stats, err := d.scene.Stats(ctx)
	if err != nil {
		return provider.KeyStats{}, err
	}
	seen, known := stats.Keys[provider.Fingerprint(d.payer.key)]
	if !known {
		return provider.KeyStats{}, errors.New("the provider has not seen the key of this demo")
	}
	return seen, nil
}

func writeSummary(_ context.Context, out io.Writer, s *v1alpha1.Session) error {
	if s.Status.Result != nil && s.Status.Result.Summary != "" {
		_, _ = fmt.Fprintln(out, s.Status.Result.Summary)
		return nil
	}
	_, _ = fmt.Fprintln(out, "nothing")
	return nil
}

// writeUsage puts what the gateway has counted beside what the provider has.
func (d *demo) writeUsage(ctx context.Context, out io.Writer, s *v1alpha1.Session) error {
	u := s.Status.Usage
	if u == nil {
		u = &v1alpha1.Usage{}
	}
	_, _ = fmt.Fprintf(out, "the gateway says:    %d tokens in, %d out, over all requests\n", value(u.InputTokens), value(u.OutputTokens))
	if d.payer.real {
		return nil
	}
	seen, err := d.seen(ctx)
	if err != nil {
		return err
	}
	var total provider.ModelStats
	for _, model := range seen.Models {
		total.Requests += model.Requests
		total.InputTokens += model.InputTokens
		total.OutputTokens += model.OutputTokens
	}
	_, _ = fmt.Fprintf(out, "the provider says:   %d tokens in, %d out, in %d requests\n", total.InputTokens, total.OutputTokens, total.Requests)
	return nil
}

func (d *demo) writeDiff(ctx context.Context, out io.Writer, s *v1alpha1.Session) error {
	if s.Status.Result == nil || len(s.Status.Result.Commits) == 0 {
		_, _ = fmt.Fprintln(out, "nothing")
		return nil
	}
	for _, c := range s.Status.Result.Commits {
		_, _ = fmt.Fprintf(out, "commit %s on branch %s of %s\n", c.Commit, c.Branch, c.Repository)
		diff, err := d.scene.Diff(ctx, repository, baseBranch, c.Branch)
		if err != nil {
			return err
		}
		_, _ = io.WriteString(out, diff)
	}
	return nil
}

func (d *demo) writeHints(_ context.Context, out io.Writer, s *v1alpha1.Session) error {
	if !d.Existing {
		_, _ = fmt.Fprintf(out, "export KUBECONFIG=%s\n", d.Kubeconfig())
	}
	kubectl := d.kubectl()
	_, _ = fmt.Fprintf(out, "%s -n %s get sess -o wide\n", kubectl, namespace)
	_, _ = fmt.Fprintf(out, "%s -n %s describe sess %s\n", kubectl, namespace, s.Name)
	_, _ = fmt.Fprintf(out, "%s -n %s logs %s\n", kubectl, namespace, s.Status.PodName)
	_, _ = fmt.Fprintf(out, "%s explain session.spec\n", kubectl)
	if !d.Existing {
		_, _ = fmt.Fprintln(out, "make down    # ends the cluster; what was built stays in .cluster and .cache")
	}
	return nil
}

// kubectl is the program for a person to look on with. The local cluster brings its own, since the machine may have none.
func (d *demo) kubectl() string {
	if d.Existing {
		return "kubectl"
	}
	program := filepath.Join(filepath.Dir(d.Kubeconfig()), "bin", "kubectl")
	if here, err := os.Getwd(); err == nil {
		if near, err := filepath.Rel(here, program); err == nil && filepath.IsLocal(near) {
			return near
		}
	}
	return program
}

// interruption tells somebody who ended the demo what is left of it, how to look at it and how to remove it.
func (d *demo) interruption() error {
	removal := "make down"
	if d.Existing {
		removal = "kubectl delete namespace " + namespace
	}
	if d.cast.session == nil {
		return fmt.Errorf("interrupted before there was a Session; `make demo` goes on from here, and `%s` removes what is there", removal)
	}
	goesOn := fmt.Sprintf("Session %s goes on in the cluster unless it has finished", d.cast.session.Name)
	if d.payer.real {
		goesOn += fmt.Sprintf("; your key pays for that, and stays in Secret %s of namespace %s", d.cast.secret.Name, d.cast.secret.Namespace)
	}
	var hints bytes.Buffer
	if !d.Existing {
		fmt.Fprintf(&hints, "  export KUBECONFIG=%s\n", d.Kubeconfig())
	}
	fmt.Fprintf(&hints, "  to look at it:  %s -n %s describe session %s\n", d.kubectl(), namespace, d.cast.session.Name)
	fmt.Fprintf(&hints, "  to end it:      %s -n %s delete session %s\n", d.kubectl(), namespace, d.cast.session.Name)
	fmt.Fprintf(&hints, "  to remove all:  %s", removal)
	return fmt.Errorf("interrupted. %s\n%s", goesOn, hints.String())
}

func value(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}
