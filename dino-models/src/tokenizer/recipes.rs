//! How each named pre-tokenizer cuts words: the one table to extend for a new name.
//!
//! The patterns are those of the models' own `tokenizer.json`, the names are those that llama.cpp's converter writes to
//! `tokenizer.ggml.pre`. Two things are written otherwise, with the same meaning and without backtracking: alternatives
//! are a list, and the usual ending `\s+(?!\S)|\s+` is [`Spaces::LeaveLast`].

/// One way to cut, under the names it goes by.
pub(super) struct Recipe {
    pub(super) names: &'static [&'static str],
    /// Cuts applied one after another, each to every piece that the one before made.
    pub(super) cuts: &'static [Cut],
    /// Whether a word that is a token is that token, whatever the merges say.
    pub(super) whole_words: bool,
    /// Whether texts begin with a token by default.
    pub(super) add_bos: bool,
    /// Whether texts end with a token by default.
    pub(super) add_eos: bool,
}

/// One cut: matches of the first alternative that matches become pieces, and so does what lies between them.
pub(super) struct Cut {
    pub(super) alternatives: &'static [&'static str],
    pub(super) spaces: Spaces,
    pub(super) digits: Digits,
}

/// What a cut does with white space that no alternative takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spaces {
    /// Nothing special.
    Ignore,
    /// A run is a piece, but its last character is left to the word that follows.
    LeaveLast,
    /// As [`Spaces::LeaveLast`], and of what is left the largest power of two up to 512 is a piece.
    PowersOfTwo,
}

/// How a cut groups digits, instead of looking for its alternatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    /// Not at all.
    Ignore,
    /// By threes from the right: `(?=(\d{3})+(?!\d))`.
    Threes,
    /// By threes from the right, where a word ends with them: `\d{1,3}(?=(?:\d{3})*\b)`.
    ThreesOfWords,
}

const fn cut(alternatives: &'static [&'static str]) -> Cut {
    Cut {
        alternatives,
        spaces: Spaces::Ignore,
        digits: Digits::Ignore,
    }
}

const fn digits(digits: Digits) -> Cut {
    Cut { digits, ..cut(&[]) }
}

const fn words(alternatives: &'static [&'static str]) -> Cut {
    Cut {
        alternatives,
        spaces: Spaces::LeaveLast,
        digits: Digits::Ignore,
    }
}

const fn recipe(names: &'static [&'static str], cuts: &'static [Cut]) -> Recipe {
    Recipe {
        names,
        cuts,
        whole_words: false,
        add_bos: false,
        add_eos: false,
    }
}

impl Recipe {
    const fn whole_words(self) -> Self {
        Recipe {
            whole_words: true,
            ..self
        }
    }

    const fn add_eos(self) -> Self {
        Recipe {
            add_eos: true,
            ..self
        }
    }

    const fn add_bos(self) -> Self {
        Recipe {
            add_bos: true,
            ..self
        }
    }
}

const CONTRACTION: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LETTERS: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+";
const SYMBOLS: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*";
const SYMBOLS_AND_SLASHES: &str = r" ?[^\s\p{L}\p{N}]+[\r\n/]*";
const NEWLINES: &str = r"\s*[\r\n]+";
const DIGIT: &str = r"\p{N}";
const THREE_DIGITS: &str = r"\p{N}{1,3}";
const CJK: &str = r"[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+";

const GPT2: Cut = words(&[
    "'s|'t|'re|'ve|'m|'ll|'d",
    r" ?\p{L}+",
    r" ?\p{N}+",
    r" ?[^\s\p{L}\p{N}]+",
]);
const QWEN2: Cut = words(&[CONTRACTION, LETTERS, DIGIT, SYMBOLS, NEWLINES]);
const LLAMA3: Cut = words(&[CONTRACTION, LETTERS, THREE_DIGITS, SYMBOLS, NEWLINES]);
const BLOOM: Cut = cut(&[r" ?[^(\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{964}\u{6D4}\u{60C})]+"]);
const DEEPSEEK3: Cut = words(&[
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
    r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    r" ?[\p{P}\p{S}]+[\r\n]*",
    NEWLINES,
]);
const TEKKEN: Cut = words(&[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    DIGIT,
    SYMBOLS_AND_SLASHES,
    NEWLINES,
]);
const GPT4O_LOWER: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
const GPT4O_UPPER: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
const KIMI_LOWER: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
const KIMI_UPPER: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
const GPT4O: Cut = words(&[
    GPT4O_LOWER,
    GPT4O_UPPER,
    THREE_DIGITS,
    SYMBOLS_AND_SLASHES,
    NEWLINES,
]);
/// Cased letters, as they were in the Unicode version that these models took the list from.
const DEEPSEEK_LETTERS: &str = concat!(
    r"\s?[A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}",
    r"\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}",
    r"\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}",
    r"\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}",
    r"\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}",
    r"\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}",
    r"\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}",
    r"\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}",
    r"\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}",
    r"\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}",
    r"\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}",
    r"\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}",
    r"\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}]+",
);

/// Every known pre-tokenizer.
pub(super) const RECIPES: &[Recipe] = &[
    recipe(
        &["default"],
        &[
            cut(&[r"[\p{P}\$\+<=>\^~\|]+"]),
            GPT2,
            cut(&[r"\p{N}+"]),
            cut(&["[0-9][0-9][0-9]"]),
        ],
    ),
    recipe(
        &[
            "gpt-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "phi-2",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "exaone4",
            "modern-bert",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
        ],
        &[GPT2],
    ),
    recipe(&["roberta-bpe", "jina-v1-en", "jina-v2-code"], &[GPT2]).add_eos(),
    recipe(
        &[
            "smollm",
            "starcoder",
            "refact",
            "command-r",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        &[cut(&[DIGIT]), GPT2],
    ),
    recipe(
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        &[LLAMA3],
    )
    .whole_words()
    .add_bos(),
    recipe(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA3]),
    recipe(&["glm4", "glm5"], &[LLAMA3]).whole_words(),
    recipe(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "stablelm2",
            "hunyuan",
            "megrez",
            "solar-open",
            "grok-2",
        ],
        &[QWEN2],
    ),
    recipe(
        &["ufakzeka"],
        &[words(&[LETTERS, DIGIT, SYMBOLS, NEWLINES])],
    ),
    recipe(&["laguna"], &[cut(&[r"[^\n]+|\n+"]), QWEN2]),
    recipe(
        &["jais-2"],
        &[Cut {
            spaces: Spaces::PowersOfTwo,
            ..LLAMA3
        }],
    ),
    recipe(&["superbpe"], &[cut(&[r"\p{N}+"]), digits(Digits::Threes)]),
    recipe(
        &["tiny_aya", "cohere2moe"],
        &[digits(Digits::ThreesOfWords), GPT4O],
    ),
    recipe(
        &["kimi-k2"],
        &[words(&[
            r"\p{Han}+",
            KIMI_LOWER,
            KIMI_UPPER,
            THREE_DIGITS,
            SYMBOLS,
            NEWLINES,
        ])],
    ),
    recipe(
        &["youtu"],
        &[
            cut(&[
                r"[\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+",
                r"[\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}\u{3001}-\u{303F}\u{FE30}-\u{FE4F}]+",
                r"[\u{3105}-\u{312F}]+",
                r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+",
            ]),
            words(&[GPT4O_LOWER, GPT4O_UPPER, DIGIT, SYMBOLS_AND_SLASHES, NEWLINES]),
        ],
    )
    .whole_words(),
    recipe(&["granite-embed-multi-97m"], &[GPT4O]).whole_words(),
    recipe(
        &["spark2_5"],
        &[
            cut(&[THREE_DIGITS]),
            cut(&[r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+"]),
            words(&[
                r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
                r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
                r" ?[\p{P}\p{S}]+",
                r"[\r\n]",
            ]),
            cut(&[DIGIT]),
        ],
    ),
    recipe(
        &["qwen35"],
        &[words(&[
            CONTRACTION,
            r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
            DIGIT,
            r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
            NEWLINES,
        ])],
    ),
    recipe(
        &["minicpm5"],
        &[
            cut(&[THREE_DIGITS]),
            words(&[CONTRACTION, LETTERS, r"\p{N}+", SYMBOLS, NEWLINES]),
        ],
    )
    .whole_words(),
    recipe(
        &["seed-coder"],
        &[words(&[
            CONTRACTION,
            LETTERS,
            DIGIT,
            r" ?[^\s\p{L}\p{N}\r\n]+",
            NEWLINES,
        ])],
    ),
    recipe(
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        &[words(&[
            "'(?i:[sdmt]|ll|ve|re)",
            LETTERS,
            DIGIT,
            SYMBOLS,
            r"\s*[\r\n]",
        ])],
    ),
    recipe(
        &["exaone-moe"],
        &[words(&[
            CONTRACTION,
            r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+",
            DIGIT,
            r" ?[^\s\p{L}\p{N}]+[\r\n/]?",
            r"\s*[\r\n]",
        ])],
    ),
    recipe(&["tekken"], &[TEKKEN]).whole_words().add_bos(),
    recipe(
        &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        &[GPT4O],
    ),
    recipe(
        &["deepseek-llm"],
        &[
            cut(&[r"[\r\n]"]),
            cut(&[DEEPSEEK_LETTERS]),
            cut(&[
                r"\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}]+",
            ]),
            cut(&[r"\s+$"]),
            cut(&[CJK]),
            cut(&[r"\p{N}+"]),
        ],
    ),
    recipe(
        &["deepseek-coder"],
        &[
            cut(&[r"[\r\n]"]),
            cut(&[r"\s?\p{L}+"]),
            cut(&[r"\s?\p{P}+"]),
            cut(&[CJK]),
            cut(&[DIGIT]),
        ],
    ),
    recipe(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[
            cut(&[THREE_DIGITS]),
            cut(&[r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+"]),
            DEEPSEEK3,
        ],
    ),
    recipe(
        &["falcon"],
        &[
            cut(&[r"[\p{P}\$\+<=>\^~\|`]+"]),
            GPT2,
            cut(&["[0-9][0-9][0-9]"]),
        ],
    ),
    recipe(&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM]),
    recipe(&["viking"], &[BLOOM, cut(&[DIGIT])]),
    recipe(
        &["chameleon"],
        &[
            cut(&["<sentinel:[0-9]+>"]),
            cut(&["IMGIMG[A-I]{1,4}Z"]),
            cut(&[r"[\t\n]|    |  "]),
            cut(&[DIGIT]),
            cut(&[r"[\p{P}!-/:-@\[-`{-~]"]),
            GPT2,
        ],
    )
    .add_bos(),
];
