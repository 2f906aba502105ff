//! The persistent codes of the compiler's diagnostics. A code keeps its meaning for ever; a retired one is not reused.

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub(crate) const $name: &str = $code;)*

        /// Every code with what it says, in order.
        pub const CODES: &[(&str, &str)] = &[$(($code, $meaning)),*];
    };
}

codes! {
    SYNTAX = "P101", "the file is not TOML";
    TOO_LARGE = "P102", "the plan file, or what its placeholders fill in, is too large";
    TOO_DEEP = "P103", "values are nested too deeply";
    MORE = "P104", "more mistakes than are shown";
    UNREADABLE = "P105", "the plan file cannot be read, or is not UTF-8";
    UNKNOWN_KEY = "P201", "a key that has no meaning here";
    WRONG_TYPE = "P202", "a value of the wrong type";
    MISSING_KEY = "P203", "a key that must be there is not";
    BAD_VALUE = "P204", "a value that is not among the known ones";
    BAD_NAME = "P205", "a name with characters that names may not have";
    BAD_CONFIG = "P206", "a `with` that its kind does not accept";
    UNKNOWN_VAR = "P207", "a variable that the plan does not declare";
    UNSET_ENV = "P208", "an environment variable that is not set";
    BAD_PLACEHOLDER = "P209", "a `${...}` that has no meaning";
    MISPLACED_PLACEHOLDER = "P210", "a `${...}` outside of `with`";
    NO_JSON = "P211", "a number that cannot be stored";
    BAD_FILE = "P212", "a file beside the plan that does not say what its step needs";
    DUPLICATE_STEP = "P301", "two steps with one id";
    DUPLICATE_PHASE = "P302", "two phases with one name";
    UNKNOWN_STEP_KIND = "P303", "a step kind that is not linked in";
    UNKNOWN_TARGET_KIND = "P304", "a target kind that is not linked in";
    UNKNOWN_TARGET = "P305", "a target that the plan does not have";
    UNKNOWN_STEP = "P306", "a step that the plan does not have";
    LATER_STEP = "P307", "a step that comes later than it must";
    CYCLE = "P308", "steps that wait for each other";
    WRONG_LAYER = "P309", "a step kind that does not serve its phase's layer";
    OVERLAP = "P310", "two targets that share files";
    OUTSIDE = "P311", "a path that leaves the root";
    NO_SNAPSHOT = "P312", "a restore without a snapshot before it";
    WRITER_BETWEEN = "P313", "a restore that would undo another step's change";
    IRREVERSIBLE = "P314", "a step that cannot be undone, without a reason";
    NOT_IRREVERSIBLE = "P315", "a reason for what is not the case";
    BAD_FACT = "P316", "a fact that its target cannot answer";
    EMPTY = "P317", "a plan or a phase without content";
    TORN_UNIT = "P318", "a unit with a step in it, or between its steps, that cannot be undone";
    SHARED_FOLDER = "P319", "two steps that keep what they make in one folder";
    UNKNOWN_WARNING = "P320", "an `allow` of a warning that the kind does not give";
    IDLE_ALLOW = "P321", "an `allow` of what is not the case";
    UNKNOWN_NOTIFIER = "P322", "a notifier that is not linked in";
}
