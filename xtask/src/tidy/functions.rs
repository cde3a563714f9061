//! Where functions begin and end.

/// A function with a body; lines from 0, both included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// The line with `fn`.
    pub(super) first: usize,
    /// The line with the closing brace.
    pub(super) last: usize,
}

impl Function {
    /// Head and body.
    pub(super) fn lines(&self) -> usize {
        self.last - self.first + 1
    }
}

/// All functions with a body in code that has been freed of comments and literals; nested ones
/// stand after the one around them.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let chars: Vec<char> = code.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 0);
    while at < chars.len() {
        let c = chars[at];
        if !is_word(c) {
            line += usize::from(c == '\n');
            at += 1;
            continue;
        }
        let end = word_end(&chars, at);
        // After `fn` only a name: not `fn(u8)`, the type, and not `$name` in a macro.
        let head =
            chars[at..end] == ['f', 'n'] && chars.get(end).is_some_and(|c| c.is_whitespace());
        found.extend(head.then(|| function(&chars, end, line)).flatten());
        at = end;
    }
    found
}

/// The function whose `fn` ends at `at`.
fn function(chars: &[char], at: usize, first: usize) -> Option<Function> {
    let start = (at..chars.len()).find(|&i| !chars[i].is_whitespace())?;
    if !is_word(chars[start]) {
        return None;
    }
    let name = chars[start..word_end(chars, start)].iter().collect();
    let open = body(chars, start)?;
    let mut depth = 0usize;
    for i in open..chars.len() {
        match chars[i] {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            let last = first + chars[at..i].iter().filter(|&&c| c == '\n').count();
            return Some(Function { name, first, last });
        }
    }
    None
}

/// The opening brace of the body; none for a head that ends in `;`.
fn body(chars: &[char], start: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (i, c) in chars.iter().enumerate().skip(start) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(i),
            _ => {}
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len())
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;

    fn found(source: &str) -> Vec<(String, usize, usize)> {
        let functions = functions(&scan(source).code);
        functions.into_iter().map(|f| (f.name, f.first, f.last)).collect()
    }

    #[test]
    fn a_body_ends_where_its_braces_do() {
        let source = "\
struct S;
pub const fn a<'x>(
    f: fn(u8) -> u8,
    g: [u8; { 2 }],
) -> &'x str
where
    u8: Copy,
{
    if f(b'{') == 0 { \"}\" } else { r#\"}\"# }
    // }
}
fn b() {}";
        assert_eq!(found(source), [("a".to_owned(), 1, 10), ("b".to_owned(), 11, 11)]);
    }

    #[test]
    fn nested_ones_count_for_both() {
        let source = "fn outer() {\n    fn inner() {\n    }\n}\n";
        assert_eq!(found(source), [("outer".to_owned(), 0, 3), ("inner".to_owned(), 1, 2)]);
    }

    #[test]
    fn what_has_no_body_is_no_function() {
        for source in
            ["trait T { fn a(&self) -> [u8; 2]; }", "type F = fn (u8);", "fn $a() {}", "fnord {}"]
        {
            assert_eq!(found(source), [], "{source}");
        }
    }

    #[test]
    fn lines_are_counted_with_head_and_end() {
        let source = format!("fn a() {{\n{}}}\n", "    x();\n".repeat(68));
        assert_eq!(functions(&scan(&source).code)[0].lines(), 70);
    }
}
