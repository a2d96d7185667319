package sandbox

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Defaults of a Session, where neither it nor its class says anything.
const (
	DefaultActiveDeadlineSeconds = 7200
	DefaultRetainSandboxSeconds  = 86400
	DefaultBackoffLimit          = 2
)

// defaultWorkspaceSize is the size of a workspace volume where nobody says one.
var defaultWorkspaceSize = resource.MustParse("10Gi")

// Terms are the times that hold for a Session, after its class has had its say.
type Terms struct {
	ActiveDeadline time.Duration
	RetainSandbox  time.Duration
	// TTL is nil when the Session is never deleted.
	TTL          *time.Duration
	BackoffLimit int32
}

// TermsOf are the times of a Session under a class. Where that is gone, it is nil, and remembered are its limits.
func TermsOf(s *v1alpha1.Session, class *v1alpha1.SessionClass, remembered v1alpha1.ClassLimits) Terms {
	limits := remembered
	if class != nil {
		limits = limitsOf(class)
	}
	t := Terms{
		ActiveDeadline: seconds(bounds(limits.ActiveDeadlineSeconds).effective(s.Spec.ActiveDeadlineSeconds, new(int64(DefaultActiveDeadlineSeconds)))),
		RetainSandbox:  seconds(bounds(limits.RetainSandboxSeconds).effective(s.Spec.RetainSandboxSeconds, new(int64(DefaultRetainSandboxSeconds)))),
		BackoffLimit:   DefaultBackoffLimit,
	}
	if ttl := bounds(limits.TTLSecondsAfterFinished).effective(s.Spec.TTLSecondsAfterFinished, nil); ttl != nil {
		t.TTL = new(seconds(ttl))
	}
	if s.Spec.BackoffLimit != nil {
		t.BackoffLimit = *s.Spec.BackoffLimit
	}
	return t
}

// OverLimit says in what a Session asks for more than its class permits; empty when in nothing.
func OverLimit(s *v1alpha1.Session, class *v1alpha1.SessionClass) string {
	limits := limitsOf(class)
	times := []struct {
		field string
		asked *int64
		limit *v1alpha1.SecondsLimit
	}{
		{"activeDeadlineSeconds", s.Spec.ActiveDeadlineSeconds, limits.ActiveDeadlineSeconds},
		{"retainSandboxSeconds", s.Spec.RetainSandboxSeconds, limits.RetainSandboxSeconds},
		{"ttlSecondsAfterFinished", s.Spec.TTLSecondsAfterFinished, limits.TTLSecondsAfterFinished},
	}
	for _, t := range times {
		if most := bounds(t.limit).Max; t.asked != nil && most != nil && *t.asked > *most {
			return fmt.Sprintf("spec.%s is %d, but class %q permits at most %d; lower it", t.field, *t.asked, class.Name, *most)
		}
	}
	if s.Spec.Resources == nil {
		return ""
	}
	for _, asked := range []struct {
		field string
		list  corev1.ResourceList
	}{{"requests", s.Spec.Resources.Requests}, {"limits", s.Spec.Resources.Limits}} {
		if name, ok := exceeds(asked.list, limits.Resources); ok {
			return fmt.Sprintf("spec.resources.%s.%s is %s, but class %q permits at most %s; make a new Session that asks for less",
				asked.field, name, quantity(asked.list, name), class.Name, quantity(limits.Resources, name))
		}
	}
	return ""
}

// exceeds names the first resource, by name, of which asked is more than most.
func exceeds(asked, most corev1.ResourceList) (corev1.ResourceName, bool) {
	names := make([]corev1.ResourceName, 0, len(asked))
	for name := range asked {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		limit, limited := most[name]
		if q := asked[name]; limited && q.Cmp(limit) > 0 {
			return name, true
		}
	}
	return "", false
}

func quantity(list corev1.ResourceList, name corev1.ResourceName) string {
	q := list[name]
	return q.String()
}

func limitsOf(class *v1alpha1.SessionClass) v1alpha1.ClassLimits {
	if class == nil || class.Spec.Limits == nil {
		return v1alpha1.ClassLimits{}
	}
	return *class.Spec.Limits
}

// limit is a SecondsLimit that may be absent.
type limit v1alpha1.SecondsLimit

func bounds(l *v1alpha1.SecondsLimit) limit {
	if l == nil {
		return limit{}
	}
	return limit(*l)
}

// effective is what is asked for, else the class's default, else fallback; never above the maximum, since a Session may ask
// for more after it has started.
func (l limit) effective(asked, fallback *int64) *int64 {
	value := fallback
	if l.Default != nil {
		value = l.Default
	}
	if asked != nil {
		value = asked
	}
	if value != nil && l.Max != nil {
		value = new(min(*value, *l.Max))
	}
	return value
}

func seconds(s *int64) time.Duration { return time.Duration(*s) * time.Second }
