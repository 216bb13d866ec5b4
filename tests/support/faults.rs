//! What the machine itself finds: the exports of `tests/guests/hostile/traps.wat` by the reason that each ends for.

pub const FAULTS: &[(&str, &[&str])] = &[
    ("unreachable", &["unreachable"]),
    (
        "integer_division_by_zero",
        &["div_s_zero", "div_u_zero", "rem_s_zero", "rem_u_zero", "div_s_zero_64", "rem_u_zero_64"],
    ),
    (
        "integer_overflow",
        &[
            "div_s_overflow",
            "div_s_overflow_64",
            "trunc_too_large",
            "trunc_too_small",
            "trunc_negative_unsigned",
            "trunc_infinity",
        ],
    ),
    ("invalid_conversion_to_integer", &["trunc_nan", "trunc_nan_64"]),
    (
        "memory_out_of_bounds",
        &[
            "load_past_end",
            "load_across_end",
            "load_negative",
            "load_far_offset",
            "load_offset_wraps",
            "store_past_end",
            "store_across_end",
            "fill_past_end",
            "copy_past_end",
            "init_past_segment",
            "init_past_end",
            "init_dropped",
        ],
    ),
    (
        "table_out_of_bounds",
        &[
            "call_past_end",
            "call_negative",
            "table_get_past_end",
            "table_set_past_end",
            "table_fill_past_end",
            "table_copy_past_end",
            "table_init_past_segment",
            "table_init_dropped",
        ],
    ),
    ("indirect_call_to_null", &["call_null"]),
    ("bad_signature", &["call_wrong_type"]),
];
