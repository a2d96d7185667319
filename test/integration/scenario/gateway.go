package scenario

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// What the gateway writes, and agents that work through it.

// gatewayCounts is the gateway saying that a provider has answered the Session's run, and how many requests there were in all.
func gatewayCounts(requests int64) Action {
	return func(s Stage) {
		s.Helper()
		now := metav1.NewTime(time.Now().Truncate(time.Second)) // the API server's, as that of the pod
		inUse := applyv1alpha1.CredentialInUse().WithProvider("anthropic").WithRevision("1").WithLastUsedTime(now).
			WithRef(applyv1alpha1.CredentialReference().WithKind(v1alpha1.CredentialKindClusterCredential).WithName("org"))
		status := applyv1alpha1.SessionStatus().WithCredentialsInUse(inUse).WithLastActivityTime(now).
			WithUsage(applyv1alpha1.Usage().WithRequests(requests).WithInputTokens(1000).WithOutputTokens(100))
		must(s, s.API().Status().Apply(s.Context(), applyv1alpha1.Session(Name, s.Namespace()).WithStatus(status),
			client.FieldOwner(v1alpha1.FieldOwnerGateway), client.ForceOwnership))
	}
}

// agentFinishes is an agent that reports success, and a kubelet that says when.
func agentFinishes(s Stage) {
	s.Helper()
	message, err := json.Marshal(success())
	must(s, err)
	endPod(s, exitCode(contract.OutcomeSucceeded), "", string(message), func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(s.Now())
	})
}
