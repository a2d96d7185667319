package v1alpha1

// Labels, annotations, finalizers and field owners of Sandkeep: every one of them is in this file.
const (
	// LabelSession is on everything that was made for a Session and holds its name.
	LabelSession = "sandkeep.dev/session"
	// LabelRun is on pods and ConfigMaps of one run and holds its number.
	LabelRun = "sandkeep.dev/run"
	// LabelClass is on sandbox pods and holds the name of the SessionClass.
	LabelClass = "sandkeep.dev/class"
	// LabelManagedBy and LabelComponent are the common labels of Kubernetes, with the values ManagedBy and ComponentSandbox.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelComponent = "app.kubernetes.io/component"

	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "sandkeep"
	// ComponentSandbox is the value of LabelComponent.
	ComponentSandbox = "sandbox"

	// AnnotationDefaultClass with the value "true" makes a SessionClass the one that Sessions without a className use.
	AnnotationDefaultClass = "sandkeep.dev/is-default-class"

	// AnnotationRecipe is on sandbox pods and identifies what they were made from. A pod that cannot start is replaced when
	// that has changed.
	AnnotationRecipe = "sandkeep.dev/recipe"

	// FinalizerResult keeps an ended sandbox pod until its result is in the status of its Session.
	FinalizerResult = "sandkeep.dev/result"

	// FieldOwnerManager is the field manager of everything that the manager applies.
	FieldOwnerManager = "sandkeep-manager"
)
