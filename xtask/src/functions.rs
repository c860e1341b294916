//! The reference of scenario functions, read from the source: names, documentation, parameters, option keys.
//!
//! A function is part of it when some `fn register` names it, in a `register!(engine, name, …)` list or by
//! `engine.register_native("name", function)`. `RhOpts<T>` stands for a map with the fields of struct `T` (or of several, in a
//! tuple), `RhFn<(A, B)>` for a closure that returns a task, `RhFn<((A, B), R)>` for one that returns an `R`. A type is shown by the name
//! that `register_type_with_name` gives it.

use quote::ToTokens;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};

/// One function as scripts see it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Function {
    name: String,
    /// Markdown.
    doc: String,
    /// Names with types.
    parameters: Vec<(String, String)>,
    /// Empty if there is nothing to return.
    returns: String,
    options: Vec<Key>,
}

/// A key of an option map.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    name: String,
    kind: String,
    required: bool,
    doc: String,
}

/// Registered functions in these files, sorted by name; an error if one is registered that is not there.
pub fn find(files: &[syn::File]) -> Result<Vec<Function>, String> {
    let mut items = Items::default();
    for (number, file) in files.iter().enumerate() {
        items.file = number;
        items.visit_file(file);
    }
    let mut found = Vec::new();
    for (file, name, function) in &items.registered {
        // Two files may have private functions of one name: the one beside the registration is meant.
        let near = items.functions.get(&(*file, function.clone()));
        let any = || items.functions.iter().find(|((_, other), _)| other == function).map(|(_, item)| item);
        let item =
            near.or_else(any).ok_or_else(|| format!("`{function}` is registered, but there is no such function"))?;
        found.push(items.describe(name, item)?);
    }
    found.sort_by(|a, b| {
        (&a.name, a.parameters.len(), &a.parameters).cmp(&(&b.name, b.parameters.len(), &b.parameters))
    });
    Ok(found)
}

/// The page in Markdown.
pub fn page(functions: &[Function]) -> String {
    let mut text = String::from(
        "# Scenario functions\n\nWhat scripts can call. An option that is not required may be left out.\n",
    );
    for function in functions {
        let parameters: Vec<String> =
            function.parameters.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
        let returns = if function.returns.is_empty() { String::new() } else { format!(" -> {}", function.returns) };
        let call = format!("{}({}){returns}", function.name, parameters.join(", "));
        // Writing into a String cannot fail.
        let _ = write!(text, "\n## `{}`\n\n`{call}`\n", function.name);
        if !function.doc.is_empty() {
            let _ = write!(text, "\n{}\n", function.doc);
        }
        if !function.options.is_empty() {
            text.push_str("\n| option | type | required | meaning |\n|---|---|---|---|\n");
            for key in &function.options {
                let required = if key.required { "yes" } else { "" };
                let (kind, doc) = (cell(&key.kind), cell(&key.doc));
                let _ = writeln!(text, "| `{}` | {kind} | {required} | {doc} |", key.name);
            }
        }
    }
    text
}

/// Text that fits a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// What matters of the files.
#[derive(Default)]
struct Items<'a> {
    /// Number of the file that is being visited.
    file: usize,
    structs: HashMap<String, &'a syn::ItemStruct>,
    /// Enums without data: strings in scripts.
    words: HashSet<String>,
    functions: BTreeMap<(usize, String), &'a syn::ItemFn>,
    /// File, name in scripts, name in Rust.
    registered: Vec<(usize, String, String)>,
    /// Types as written in Rust with their names in scripts.
    names: HashMap<String, String>,
}

impl<'a> Visit<'a> for Items<'a> {
    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.structs.insert(item.ident.to_string(), item);
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        if item.variants.iter().all(|variant| variant.fields.is_empty()) {
            self.words.insert(item.ident.to_string());
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        let name = item.sig.ident.to_string();
        if name == "register" {
            let mut registrations = Registrations::default();
            registrations.visit_block(&item.block);
            self.names.extend(registrations.types);
            self.registered.extend(registrations.functions.into_iter().map(|(script, rust)| (self.file, script, rust)));
        }
        self.functions.insert((self.file, name), item);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }
}

/// What one `fn register` has.
#[derive(Default)]
struct Registrations {
    /// Name in scripts, name in Rust.
    functions: Vec<(String, String)>,
    /// Type in Rust, name in scripts.
    types: Vec<(String, String)>,
}

impl<'a> Visit<'a> for Registrations {
    fn visit_macro(&mut self, item: &'a syn::Macro) {
        if item.path.segments.last().is_some_and(|last| last.ident == "register") {
            let names = item.parse_body_with(Punctuated::<syn::Path, syn::Token![,]>::parse_terminated);
            for path in names.into_iter().flatten().skip(1) {
                if let Some(last) = path.segments.last() {
                    self.functions.push((last.ident.to_string(), last.ident.to_string()));
                }
            }
        }
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        visit::visit_expr_method_call(self, call);
        let mut args = call.args.iter();
        if call.method == "register_type_with_name"
            && let Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. })) = args.next()
            && let Some(syn::GenericArgument::Type(kind)) = call.turbofish.as_ref().and_then(|list| list.args.first())
        {
            self.types.push((kind.to_token_stream().to_string(), name.value()));
        }
        if call.method != "register_native" {
            return;
        }
        let mut args = call.args.iter();
        if let (Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. })), Some(syn::Expr::Path(function))) =
            (args.next(), args.next())
            && let Some(last) = function.path.segments.last()
        {
            self.functions.push((name.value(), last.ident.to_string()));
        }
    }
}

impl Items<'_> {
    fn describe(&self, name: &str, item: &syn::ItemFn) -> Result<Function, String> {
        let mut function = Function { name: name.to_owned(), doc: doc(&item.attrs), ..Function::default() };
        for input in &item.sig.inputs {
            let syn::FnArg::Typed(input) = input else { continue };
            let kind = strip(&input.ty);
            if last_segment(kind).is_some_and(|s| s.ident == "NativeCallContext") {
                continue;
            }
            let shown = if let Some(structs) = arguments(kind, "RhOpts") {
                for one in structs {
                    self.keys(one, &mut function.options)?;
                }
                "map".to_owned()
            } else if let Some(parts) = arguments(kind, "RhFn") {
                self.closure_text(&parts)
            } else {
                self.type_text(kind)
            };
            let pattern = match &*input.pat {
                syn::Pat::Ident(pattern) => pattern.ident.to_string(),
                other => other.to_token_stream().to_string(),
            };
            function.parameters.push((pattern.trim_start_matches('_').to_owned(), shown));
        }
        if let syn::ReturnType::Type(_, kind) = &item.sig.output {
            function.returns = self.type_text(kind);
        }
        Ok(function)
    }

    /// Fields of an option struct, those of flattened structs in their place.
    fn keys(&self, kind: &syn::Type, keys: &mut Vec<Key>) -> Result<(), String> {
        let name = last_segment(kind).map(|s| s.ident.to_string()).unwrap_or_default();
        let item = self.structs.get(&name).ok_or_else(|| format!("option struct `{name}` not found"))?;
        let defaults = Serde::of(&item.attrs).default;
        for field in &item.fields {
            let Some(ident) = &field.ident else { continue };
            let serde = Serde::of(&field.attrs);
            if serde.skip {
                continue;
            }
            if serde.flatten {
                self.keys(&field.ty, keys)?;
                continue;
            }
            let inner = argument(&field.ty, "Option");
            keys.push(Key {
                name: serde.rename.unwrap_or_else(|| ident.to_string().trim_start_matches("r#").to_owned()),
                required: inner.is_none() && !serde.default && !defaults,
                kind: self.type_text(inner.unwrap_or(&field.ty)),
                doc: doc(&field.attrs),
            });
        }
        Ok(())
    }

    /// The type of a closure from what stands in `RhFn<(…)>`: its arguments, or a tuple of them and its result.
    fn closure_text(&self, parts: &[&syn::Type]) -> String {
        let (arguments, result) = match parts {
            [syn::Type::Tuple(arguments), result] => (arguments.elems.iter().collect(), self.type_text(result)),
            _ => (parts.to_vec(), "Task".to_owned()),
        };
        format!(
            "Fn({}) -> {result}",
            arguments.into_iter().map(|kind| self.type_text(kind)).collect::<Vec<_>>().join(", ")
        )
    }

    /// A type as readers of scripts know it: without what only Rust needs.
    fn type_text(&self, kind: &syn::Type) -> String {
        if let Some(name) = self.names.get(&strip(kind).to_token_stream().to_string()) {
            return name.clone();
        }
        for wrapper in ["Result", "RhResult", "Handle", "Box", "Arc"] {
            if let Some(inner) = argument(kind, wrapper) {
                return self.type_text(inner);
            }
        }
        match strip(kind) {
            syn::Type::Tuple(tuple) if tuple.elems.is_empty() => String::new(),
            syn::Type::Path(path) => {
                let Some(segment) = path.path.segments.last() else { return String::new() };
                let name = match segment.ident.to_string().as_str() {
                    "ImmutableString" | "String" | "str" => "String".to_owned(),
                    "Map" => "map".to_owned(),
                    // Zero is refused with a message that says so.
                    "NonZeroU64" => "u64".to_owned(),
                    other if self.words.contains(other) => "String".to_owned(),
                    other => other.to_owned(),
                };
                match &segment.arguments {
                    syn::PathArguments::AngleBracketed(list) => {
                        let inner: Vec<String> = list
                            .args
                            .iter()
                            .filter_map(|arg| match arg {
                                syn::GenericArgument::Type(one) => Some(self.type_text(one)),
                                _ => None,
                            })
                            .collect();
                        if inner.is_empty() { name } else { format!("{name}<{}>", inner.join(", ")) }
                    }
                    _ => name,
                }
            }
            other => other.to_token_stream().to_string(),
        }
    }
}

/// What serde's attributes say about a field or struct.
#[derive(Default)]
struct Serde {
    flatten: bool,
    skip: bool,
    default: bool,
    rename: Option<String>,
}

impl Serde {
    fn of(attrs: &[syn::Attribute]) -> Self {
        let mut serde = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
            let parts = attr.parse_args_with(Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated);
            for part in parts.into_iter().flatten() {
                let path = part.path();
                serde.flatten |= path.is_ident("flatten");
                serde.skip |= path.is_ident("skip") || path.is_ident("skip_deserializing");
                serde.default |= path.is_ident("default");
                if path.is_ident("rename")
                    && let syn::Meta::NameValue(pair) = &part
                    && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }) = &pair.value
                {
                    serde.rename = Some(name.value());
                }
            }
        }
        serde
    }
}

fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident("cfg") && attr.to_token_stream().to_string().contains("test"))
}

/// Doc comments as Markdown, without the blank that follows `///`.
fn doc(attrs: &[syn::Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

/// The type below references.
fn strip(kind: &syn::Type) -> &syn::Type {
    match kind {
        syn::Type::Reference(reference) => strip(&reference.elem),
        other => other,
    }
}

fn last_segment(kind: &syn::Type) -> Option<&syn::PathSegment> {
    match strip(kind) {
        syn::Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The first type argument if this is `wrapper<…>`.
fn argument<'a>(kind: &'a syn::Type, wrapper: &str) -> Option<&'a syn::Type> {
    let segment = last_segment(kind).filter(|segment| segment.ident == wrapper)?;
    let syn::PathArguments::AngleBracketed(list) = &segment.arguments else { return None };
    list.args.iter().find_map(|arg| match arg {
        syn::GenericArgument::Type(one) => Some(one),
        _ => None,
    })
}

/// The same, a tuple as its parts.
fn arguments<'a>(kind: &'a syn::Type, wrapper: &str) -> Option<Vec<&'a syn::Type>> {
    Some(match argument(kind, wrapper)? {
        syn::Type::Tuple(tuple) => tuple.elems.iter().collect(),
        one => vec![one],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        /// Options.
        #[derive(Deserialize)]
        struct LoopOpts {
            /// How often.
            /// At least once.
            times: u32,
            /// a | b
            mode: Option<Mode>,
            #[serde(default, rename = "type")]
            kind: bool,
            #[serde(flatten)]
            more: MoreOpts,
        }
        enum Mode { Fast, Slow }
        #[serde(default)]
        struct MoreOpts { extra: u8 }
        /// Does it again.
        ///
        /// A second paragraph.
        fn repeat(ctx: NativeCallContext<'_>, options: RhOpts<(LoopOpts,)>, s: Handle<StreamSocket>,
            then: RhFn<(Handle<StreamSocket>, i64)>) -> RhResult<TaskHandle> { todo }
        /// Sends.
        fn slot_send(slot: &mut Handle<Slot>, text: ImmutableString) -> Result<(), Box<EvalAltResult>> { todo }
        /// Answers.
        fn answer(custom: Map, at: RhFn<()>, one: RhFn<(Array,)>,
            reply: RhFn<((Handle<Request>, i64), Handle<Response>)>) -> Handle<BoxStreamRead> { todo }
        /// Not registered.
        fn private() {}
        pub fn register(engine: &mut rhai::Engine) {
            engine.register_type_with_name::<TaskHandle>("Task");
            engine.register_type_with_name::<Handle<BoxStreamRead>>("StreamRead");
            crate::register!(engine, repeat, answer);
            engine.register_native("send", slot_send);
            engine.register_native("other", |x: i64| x);
        }
        #[cfg(test)]
        mod tests { fn register(engine: &mut Engine) { register!(engine, private); } }
    "#;

    fn parsed(text: &str) -> Result<Vec<Function>, String> {
        find(&[syn::parse_file(text).unwrap()])
    }

    #[test]
    fn functions_and_options_are_found() {
        let found = parsed(SOURCE).unwrap();
        assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["answer", "repeat", "send"]);
        let (repeat, send) = (&found[1], &found[2]);
        assert_eq!(repeat.doc, "Does it again.\n\nA second paragraph.");
        assert_eq!(repeat.returns, "Task");
        let parameters: Vec<_> = repeat.parameters.iter().map(|(n, k)| format!("{n}: {k}")).collect();
        assert_eq!(parameters, ["options: map", "s: StreamSocket", "then: Fn(StreamSocket, i64) -> Task"]);
        let keys: Vec<_> = repeat.options.iter().map(|k| (k.name.as_str(), k.kind.as_str(), k.required)).collect();
        let expected =
            [("times", "u32", true), ("mode", "String", false), ("type", "bool", false), ("extra", "u8", false)];
        assert_eq!(keys, expected);
        assert_eq!(send.returns, "");
        assert_eq!(send.parameters[0], ("slot".to_owned(), "Slot".to_owned()));
    }

    #[test]
    fn closures_show_arguments_and_result() {
        let text = page(&parsed(SOURCE).unwrap());
        let call = "`answer(custom: map, at: Fn() -> Task, one: Fn(Array) -> Task, reply: Fn(Request, i64) -> Response) \
            -> StreamRead`";
        assert!(text.contains(call), "{text}");
    }

    #[test]
    fn page_has_a_table_per_function_with_options() {
        let text = page(&parsed(SOURCE).unwrap());
        assert!(text.contains(
            "## `repeat`\n\n`repeat(options: map, s: StreamSocket, then: Fn(StreamSocket, i64) -> Task) -> Task`"
        ));
        assert!(text.contains("| `times` | u32 | yes | How often. At least once. |\n| `mode` | String |  | a \\| b |"));
        assert!(text.contains("`send(slot: Slot, text: String)`\n\nSends.\n"));
        assert!(!text.contains("Not registered"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = parsed("fn register(engine: &mut Engine) { register!(engine, absent); }").unwrap_err();
        assert!(error.contains("absent"), "{error}");
        let error = parsed("fn f(o: RhOpts<Lost>) {} fn register(e: &mut Engine) { register!(e, f); }").unwrap_err();
        assert!(error.contains("Lost"), "{error}");
    }

    #[test]
    fn the_function_beside_the_registration_is_meant() {
        let near = syn::parse_file("/// near\nfn f() {} fn register(e: &mut E) { register!(e, f); }").unwrap();
        let far = syn::parse_file("/// far\nfn f() {}").unwrap();
        let found = find(&[far, near]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].doc, "near");
    }
}
