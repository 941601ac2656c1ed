//! Services as `.proto` files define them. Files are read when a configuration is taken into force; what they import is
//! looked for beside them, where protocol buffers are installed, and last among what is built in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost_reflect::{DescriptorPool, FileDescriptor, MethodDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

/// Where imports are looked for, behind the folder of the file itself.
const INCLUDES: &[&str] =
    &["/usr/local/kong/include", "/usr/local/opt/protobuf/include", "/usr/include", "/usr/local/include"];

/// Definitions that annotated files import.
const BUILT_IN: &[(&str, &str)] = &[
    ("google/api/annotations.proto", include_str!("google_api/annotations.proto")),
    ("google/api/http.proto", include_str!("google_api/http.proto")),
    ("google/api/httpbody.proto", include_str!("google_api/httpbody.proto")),
    ("google/api/field_behavior.proto", include_str!("google_api/field_behavior.proto")),
];

struct BuiltIn;

impl FileResolver for BuiltIn {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The methods of a file, and of those it imports publicly.
#[derive(Debug)]
pub struct Definitions {
    methods: Vec<MethodDescriptor>,
}

/// The `proto` setting of a plugin: nothing, definitions, or why there are none. A file that cannot be read does not
/// refuse the configuration, because another node may be the one that has it; requests are answered with 500.
#[derive(Debug, Clone)]
pub enum Proto {
    Absent,
    Loaded(Arc<Definitions>),
    Broken(Arc<str>),
}

impl Proto {
    pub fn load(plugin: &str, file: Option<&str>) -> Proto {
        let Some(file) = file else { return Proto::Absent };
        match Definitions::load(Path::new(file)) {
            Ok(definitions) => Proto::Loaded(Arc::new(definitions)),
            Err(why) => {
                tracing::error!(plugin, "the definitions in '{file}' cannot be used: {why}");
                Proto::Broken(format!("the definitions in '{file}' cannot be used: {why}").into())
            }
        }
    }
}

impl Definitions {
    fn load(file: &Path) -> Result<Definitions, String> {
        let whole = std::path::absolute(file).map_err(|error| error.to_string())?;
        let (Some(folder), Some(name)) = (whole.parent(), whole.file_name().and_then(|name| name.to_str())) else {
            return Err("it is no file".to_owned());
        };
        let (pool, file) = compile(folder, name)?;
        let mut methods = Vec::new();
        collect(&file, &mut methods, &mut Vec::new());
        drop(pool);
        Ok(Definitions { methods })
    }

    pub fn methods(&self) -> impl Iterator<Item = &MethodDescriptor> {
        self.methods.iter()
    }

    /// The method called at this path, `/package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&MethodDescriptor> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        self.methods.iter().find(|m| m.name() == name && m.parent_service().full_name() == service)
    }
}

fn compile(folder: &Path, name: &str) -> Result<(DescriptorPool, FileDescriptor), String> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(IncludeFileResolver::new(folder.to_owned()));
    for include in INCLUDES.iter().map(PathBuf::from).filter(|include| include.is_dir()) {
        resolver.add(IncludeFileResolver::new(include));
    }
    resolver.add(GoogleFileResolver::new());
    resolver.add(BuiltIn);
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(name).map_err(|error| error.to_string())?;
    let pool = compiler.descriptor_pool();
    let file = pool.get_file_by_name(name).ok_or("it defines nothing")?;
    Ok((pool, file))
}

/// Methods of the files that this one stands for. A file that is reached twice counts once.
fn collect(file: &FileDescriptor, methods: &mut Vec<MethodDescriptor>, seen: &mut Vec<String>) {
    if seen.iter().any(|name| name == file.name()) {
        return;
    }
    seen.push(file.name().to_owned());
    for public in file.public_dependencies() {
        collect(&public, methods, seen);
    }
    methods.extend(file.services().flat_map(|service| service.methods().collect::<Vec<_>>()));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn methods_come_from_a_file_and_from_what_it_imports_publicly() {
        let folder = folder(&[
            (
                "a.proto",
                "syntax = \"proto3\"; package a; import public \"b.proto\"; import \"c.proto\"; import \"google/api/annotations.proto\"; import \"google/protobuf/timestamp.proto\"; message M { google.protobuf.Timestamp at = 1; } service A { rpc Do(M) returns (c.M) { option (google.api.http) = { get: \"/a\" }; } }",
            ),
            ("b.proto", "syntax = \"proto3\"; package b; message M {} service B { rpc Do(M) returns (stream M); }"),
            ("c.proto", "syntax = \"proto3\"; package c; message M {} service C { rpc Do(M) returns (M); }"),
        ]);
        let definitions = Definitions::load(&folder.path().join("a.proto")).unwrap();
        assert!(definitions.method("/b.B/Do").unwrap().is_server_streaming());
        assert_eq!(definitions.method("/a.A/Do").unwrap().output().full_name(), "c.M");
        for absent in ["/c.C/Do", "/a.A/Other", "a.A/Do", "/", "/a.A"] {
            assert!(definitions.method(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = folder(&[("a.proto", "syntax = \"proto3\"; message M { Other o = 1; }")]);
        let error = Definitions::load(&folder.path().join("a.proto")).unwrap_err();
        assert!(error.contains("Other"), "{error}");
        let error = Definitions::load(&folder.path().join("absent.proto")).unwrap_err();
        assert!(error.contains("absent.proto"), "{error}");
    }
}
