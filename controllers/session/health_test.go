package session

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/fixtures/argocd"
	"github.com/sandkeep/sandkeep/test/integration/scenario"
)

// TestArgoCD runs the shipped health check on the Session at the end of every step of every scenario.
func TestArgoCD(t *testing.T) {
	for _, sc := range scenario.All() {
		sc.Steps = slices.Clone(sc.Steps)
		for i, step := range sc.Steps {
			sc.Steps[i].Also = append(slices.Clone(step.Also), healthy(step.Want))
		}
		inBubble(t, sc.Name, func(t *testing.T) { newStage(t, 1, 0).play(sc) })
	}
}

// healthy wants the health of a state, with the message of Ready.
func healthy(want scenario.State) scenario.Fact {
	return func(s scenario.Seen) string {
		if s.Session == nil || want.Kstatus == "" || !s.Session.DeletionTimestamp.IsZero() { // Argo CD asks no health check about what is being deleted
			return ""
		}
		have, err := argocd.HealthOf(s.Session)
		if err != nil {
			return err.Error()
		}
		ready := meta.FindStatusCondition(s.Session.Status.Conditions, v1alpha1.ConditionReady)
		if diff := cmp.Diff(argocd.Health{Status: healthOf(want), Message: ready.Message}, have); diff != "" {
			return "health (-want +have):\n" + diff
		}
		return ""
	}
}

// healthOf is what Argo CD should show of a state: what kstatus reads, but that a Session is not there before its end, and that a pause is one.
func healthOf(s scenario.State) string {
	switch {
	case s.Kstatus == status.FailedStatus:
		return "Degraded"
	case s.Kstatus == status.CurrentStatus && s.Finished == "True Succeeded":
		return "Healthy"
	case s.Kstatus == status.CurrentStatus && s.Suspended == "True":
		return "Suspended"
	}
	return "Progressing"
}
