//! The five routes that each kind of named object has: list, create, show, edit, delete.

/// The routes of one kind, as a module of its name. The file that calls it has `listed` and `shown` for that kind in scope.
macro_rules! five_routes {
    (
        $module:ident: $kind:expr, $tag:literal at $list:literal, $one:literal, $edit:literal;
        objects $object:ident, $create:ident, $change:ident;
        calls $creates:ident, $edits:ident, $deletes:ident;
        words $words:literal, $plural:literal, $editing:literal, $when:literal
    ) => {
        pub(crate) mod $module {
            use super::*;

            #[utoipa::path(get, path = $list, tag = $tag, summary = concat!("List ", $plural),
                params(("selector" = Option<String>, Query, description = "Those with these labels")),
                responses((status = 200, body = Vec<$object>), (status = 422, body = Problem)))]
            pub(crate) async fn list(
                State(app): State<App>,
                caller: Caller,
                Query(shown): Query<Shown>,
            ) -> Result<Json<Vec<$object>>, Error> {
                listed(&app, &caller, $kind, &shown)
            }

            #[utoipa::path(post, path = $list, tag = $tag, summary = concat!("Create a ", $words), request_body = $create,
                params(("dry_run" = Option<bool>, Query)),
                responses((status = 200, body = Plan), (status = 201, body = $object),
                    (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
            pub(crate) async fn create(
                State(app): State<App>,
                caller: Caller,
                dry: DryRun,
                Body(wanted): Body<$create>,
            ) -> Result<Response, Error> {
                let (core, user) = (app.core.clone(), caller.user.clone());
                let (plan, made) =
                    to_the_end(async move { core.$creates(&user, $kind, &wanted, dry.0).await }).await?;
                Ok(match made {
                    Some(row) => {
                        (StatusCode::CREATED, Json(shown(&app, &caller, $kind, &row.id)?)).into_response()
                    }
                    None => Json(plan).into_response(),
                })
            }

            #[utoipa::path(get, path = $one, tag = $tag, summary = concat!("Show a ", $words), params(("name" = String, Path)),
                responses((status = 200, body = $object), (status = 404, body = Problem)))]
            pub(crate) async fn get_one(
                State(app): State<App>,
                caller: Caller,
                Path(name): Path<String>,
            ) -> Result<Json<$object>, Error> {
                shown(&app, &caller, $kind, &name).map(Json)
            }

            #[utoipa::path(post, path = $edit, tag = $tag, summary = concat!($editing, " a ", $words), request_body = $change,
                params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
                responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
                    (status = 409, body = Problem), (status = 422, body = Problem)))]
            pub(crate) async fn edit(
                State(app): State<App>,
                caller: Caller,
                dry: DryRun,
                Path(name): Path<String>,
                Body(wanted): Body<$change>,
            ) -> Result<Response, Error> {
                let plan = to_the_end(async move {
                    app.core.$edits(&caller.user, ($kind, &name), &wanted, dry.0).await
                })
                .await?;
                Ok(dry.answer(plan))
            }

            #[utoipa::path(delete, path = $one, tag = $tag, summary = concat!("Delete a ", $words, " that ", $when),
                params(("name" = String, Path), ("dry_run" = Option<bool>, Query)),
                responses((status = 200, body = Plan), (status = 204), (status = 404, body = Problem),
                    (status = 409, body = Problem)))]
            pub(crate) async fn delete(
                State(app): State<App>,
                caller: Caller,
                dry: DryRun,
                Path(name): Path<String>,
            ) -> Result<Response, Error> {
                let plan = to_the_end(async move {
                    app.core.$deletes(&caller.user, $kind, &name, dry.0).await
                })
                .await?;
                Ok(dry.answer(plan))
            }
        }
    };
}

pub(super) use five_routes;
