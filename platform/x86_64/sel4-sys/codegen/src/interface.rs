// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the kernel's interface files: which invocations there are, and what they take.

use roxmltree::{Document, Node, ParsingOptions};

/// An invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// Name of the function in C's libsel4: `seL4_TCB_Resume`.
    pub(crate) name: String,
    /// Name of the label in the generated headers: `TCBResume`.
    pub(crate) label: String,
    /// C preprocessor expression over the configuration; none if the invocation always exists.
    pub(crate) condition: Option<String>,
    /// One line of documentation.
    pub(crate) brief: Option<String>,
    /// Parameters beside the capability that is invoked.
    pub(crate) params: Vec<Param>,
}

/// A parameter of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    /// Name.
    pub(crate) name: String,
    /// Name of the C type.
    pub(crate) ty: String,
    /// Whether it is a result.
    pub(crate) output: bool,
}

/// Reads the invocations of an interface file.
///
/// Structures that it declares are passed over: the C headers have them, in the same order.
///
/// # Errors
/// One line that says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Vec<Method>, String> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name("api") {
        return Err(format!("the root element is `{}`, not `api`", root.tag_name().name()));
    }
    let mut methods = Vec::new();
    for node in root.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "struct" => {}
            "interface" => {
                let interface = attribute(node, "name")?;
                for method in children(node, "method") {
                    methods.push(read_method(interface, method)?);
                }
            }
            other => return Err(format!("unknown element `{other}`")),
        }
    }
    Ok(methods)
}

fn read_method(interface: &str, node: Node<'_, '_>) -> Result<Method, String> {
    let name = format!("{interface}_{}", attribute(node, "name")?);
    let params = children(node, "param")
        .map(|param| {
            let output = match attribute(param, "dir")? {
                "in" => false,
                "out" => true,
                other => return Err(format!("`{name}` has a parameter of direction `{other}`")),
            };
            Ok(Param { name: attribute(param, "name")?.into(), ty: attribute(param, "type")?.into(), output })
        })
        .collect::<Result<_, _>>()?;
    let condition = match (node.attribute("condition"), children(node, "condition").next()) {
        (Some(expression), _) => Some(expression.trim().to_string()),
        (None, Some(element)) => element.children().find(Node::is_element).map(expression).transpose()?,
        (None, None) => None,
    };
    Ok(Method {
        label: attribute(node, "id")?.into(),
        condition: condition.filter(|condition| !condition.is_empty()),
        brief: children(node, "brief").next().map(text),
        params,
        name,
    })
}

/// Turns a condition element into a C preprocessor expression, as the kernel's generator does (`tools/condition.py`).
fn expression(node: Node<'_, '_>) -> Result<String, String> {
    let operands = || node.children().filter(Node::is_element).map(expression).collect::<Result<Vec<_>, _>>();
    match node.tag_name().name() {
        "config" => Ok(format!("defined({})", attribute(node, "var")?)),
        "not" => Ok(format!("!{}", operands()?.first().ok_or("`not` of nothing")?)),
        "and" => Ok(format!("({})", operands()?.join(" && "))),
        "or" => Ok(format!("({})", operands()?.join(" || "))),
        other => Err(format!("unknown element `{other}` in a condition")),
    }
}

/// Returns the text of an element on one line; names in it come as attributes.
fn text(node: Node<'_, '_>) -> String {
    let mut out = String::new();
    for child in node.descendants().skip(1) {
        match (child.text().filter(|_| child.is_text()), child.attribute("text"), child.attribute("name")) {
            (Some(text), ..) => out.push_str(text),
            (None, Some(name), _) | (None, None, Some(name)) => out.push_str(&format!("`{name}`")),
            (None, None, None) => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn children<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, String> {
    node.attribute(name).ok_or_else(|| format!("`{}` without `{name}`", node.tag_name().name()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn param(name: &str, ty: &str, output: bool) -> Param {
        Param { name: name.into(), ty: ty.into(), output }
    }

    #[test]
    fn reads_methods() {
        let methods = parse(
            r#"<?xml version="1.0"?>
            <api name="A">
                <struct name="S"><member name="a"/></struct>
                <interface name="seL4_X">
                    <method id="XGo" name="Go">
                        <brief>Start <texttt text="it"/>
                               now</brief>
                        <cap_param append_description="x"/>
                        <param dir="in" name="n" type="seL4_Word"/>
                        <param dir="out" name="r" type="seL4_Uint8" description="d"/>
                    </method>
                </interface>
            </api>"#,
        )
        .unwrap();
        assert_eq!(
            methods,
            [Method {
                name: "seL4_X_Go".into(),
                label: "XGo".into(),
                condition: None,
                brief: Some("Start `it` now".into()),
                params: vec![param("n", "seL4_Word", false), param("r", "seL4_Uint8", true)],
            }]
        );
    }

    #[test]
    fn conditions_become_expressions() {
        let condition = |xml: &str| {
            let text = format!(r#"<api><interface name="I"><method id="M" name="M" {xml}</method></interface></api>"#);
            parse(&text).map(|methods| methods[0].condition.clone())
        };
        assert_eq!(condition(r#"condition="defined(CONFIG_VTX)">"#), Ok(Some("defined(CONFIG_VTX)".into())));
        assert_eq!(condition(r#"condition="">"#), Ok(None));
        assert_eq!(condition(">"), Ok(None));
        assert_eq!(condition("><condition/>"), Ok(None));
        assert_eq!(
            condition(r#"><condition><not><config var="CONFIG_A"/></not></condition>"#),
            Ok(Some("!defined(CONFIG_A)".into()))
        );
        assert_eq!(
            condition(
                r#"><condition><and><config var="A"/><or><config var="B"/><config var="C"/></or></and></condition>"#
            ),
            Ok(Some("(defined(A) && (defined(B) || defined(C)))".into()))
        );
        assert!(condition("><condition><xor/></condition>").is_err());
        assert!(condition("><condition><not/></condition>").is_err());
    }

    #[test]
    fn broken_files_are_errors() {
        for text in [
            "",
            "<api>",
            "<other/>",
            "<api><other/></api>",
            "<api><interface><method/></interface></api>",
            r#"<api><interface name="I"><method name="M"/></interface></api>"#,
            r#"<api><interface name="I"><method id="M" name="M"><param/></method></interface></api>"#,
            r#"<api><interface name="I"><method id="M" name="M"><param dir="up" name="p" type="t"/></method></interface></api>"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
